"""The ASGI door: hot paths go to the gateway before Django sees them."""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application

from apps.gateway import lifecycle
from apps.gateway.http import app as gateway_app
from apps.gateway.http import handles
from chatvault.asgi_types import Receive, Scope, Send
from chatvault.defences.cors import open_to
from chatvault.defences.door import guarded
from chatvault.lifespan import serve_lifespan
from chatvault.telemetry import setup

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatvault.settings")

setup.instrument_django()
django_app = guarded(get_asgi_application())


async def _application(scope: Scope, receive: Receive, send: Send) -> None:
    """Everything that one gateway process answers: the API, the admin and the probes."""
    if scope["type"] == "http":
        if handles(scope["path"]):
            await gateway_app(scope, receive, send)
        else:
            await django_app(dict(scope), receive, send)
    elif scope["type"] == "lifespan":
        await serve_lifespan(receive, send, start=_start, stop=lifecycle.stop)


async def _start() -> None:
    from apps.gateway import reporting  # models: only after Django is set up

    await lifecycle.start()
    reporting.start_web()


application = open_to(_application, settings.CHATVAULT.security.cors_origins)
