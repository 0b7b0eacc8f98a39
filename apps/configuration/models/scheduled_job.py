from __future__ import annotations

from django_celery_beat.models import PeriodicTask


class ScheduledJob(PeriodicTask):
    """An entry of the timetable: the beat's own row, under the name that people know."""

    class Meta:
        proxy = True
        verbose_name = "scheduled job"
        verbose_name_plural = "timetable"

    def __str__(self) -> str:
        return str(self.name)
