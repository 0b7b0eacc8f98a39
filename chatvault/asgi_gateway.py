"""The gateway alone: hot paths only, no admin; everything else is answered with 404."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatvault.settings")

import django

django.setup()

from apps.gateway import plane  # noqa: E402 - the apps are ready only now
from apps.gateway.http import app as gateway_app  # noqa: E402
from chatvault.asgi_types import Receive, Scope, Send  # noqa: E402
from chatvault.lifespan import serve_lifespan  # noqa: E402


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """The gateway renders unknown paths itself, in its own error shape."""
    if scope["type"] == "http":
        await gateway_app(scope, receive, send)
    elif scope["type"] == "lifespan":
        await serve_lifespan(receive, send, start=plane.start, stop=plane.stop)
