from datetime import UTC, datetime, timedelta

from celery import shared_task

from apps.usage import rollups
from chatvault.lib import clock

_RECENT = timedelta(hours=2)


@shared_task(acks_late=True)
def roll_up_hour(hour: str) -> None:
    """Recompute one hour of usage; running it twice changes nothing."""
    start = datetime.fromisoformat(hour)
    rollups.recompute(start, start + timedelta(hours=1))


@shared_task(acks_late=True)
def roll_up_recent_hours() -> None:
    """Recompute the hours that just closed: what was late or lost is put right."""
    now = datetime.fromtimestamp(clock.wall_s(), UTC).replace(minute=0, second=0, microsecond=0)
    rollups.recompute(now - _RECENT, now)
