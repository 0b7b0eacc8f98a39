"""The queue of background work. JSON only; tasks are idempotent and found by query."""

import os

from celery import Celery

from chatvault.beat import SCHEDULE

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatvault.settings")

app = Celery("chatvault")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.beat_schedule = SCHEDULE
app.autodiscover_tasks()
