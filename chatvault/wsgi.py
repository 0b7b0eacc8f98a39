"""Django alone, under WSGI: the admin and the DRF door. Streams hold one thread each here."""

import os

from django.core.wsgi import get_wsgi_application

from chatvault.telemetry import setup

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatvault.settings")

setup.instrument_django()
application = get_wsgi_application()
