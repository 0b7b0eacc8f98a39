"""The gateway alone: hot paths only, no admin; it answers every other path with its own 404."""

import os

import django
from django.conf import settings

from apps.gateway import lifecycle
from apps.gateway.http import app as gateway_app
from chatvault.asgi_types import Receive, Scope, Send
from chatvault.defences.cors import open_to
from chatvault.lifespan import serve_lifespan

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatvault.settings")

django.setup()


async def _application(scope: Scope, receive: Receive, send: Send) -> None:
    """One gateway process of many; another one serves the admin."""
    if scope["type"] == "http":
        await gateway_app(scope, receive, send)
    elif scope["type"] == "lifespan":
        await serve_lifespan(receive, send, start=lifecycle.start, stop=lifecycle.stop)


application = open_to(_application, settings.CHATVAULT.security.cors_origins)
