"""The ASGI door: hot paths go to the gateway before Django sees them."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatvault.settings")

from django.core.asgi import get_asgi_application

django_app = get_asgi_application()

from apps.gateway import plane  # noqa: E402 - the apps are ready only now
from apps.gateway.http import app as gateway_app  # noqa: E402
from apps.gateway.http import handles  # noqa: E402
from chatvault.asgi_types import Receive, Scope, Send  # noqa: E402
from chatvault.lifespan import serve_lifespan  # noqa: E402


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Everything that one gateway process answers: the API, the admin and the probes."""
    if scope["type"] == "http":
        if handles(scope["path"]):
            await gateway_app(scope, receive, send)
        else:
            await django_app(scope, receive, send)
    elif scope["type"] == "lifespan":
        await serve_lifespan(receive, send, start=plane.start, stop=plane.stop)
