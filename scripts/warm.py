"""Imports what `manage.py serve` imports, so that its first start need not compile it."""

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["DJANGO_SETTINGS_MODULE"] = "chatvault.settings"
os.environ["CHATVAULT_HOME"] = tempfile.mkdtemp()

import django

django.setup()

import celery.bin.worker  # noqa: E402, F401

import chatvault.celery  # noqa: E402, F401
from chatvault.supervisor.main import preload  # noqa: E402

preload()
