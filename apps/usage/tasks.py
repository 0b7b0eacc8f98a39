from datetime import datetime, timedelta

from celery import shared_task

from apps.usage import rollups


@shared_task(acks_late=True)
def roll_up_hour(hour: str) -> None:
    """Recompute one hour of usage; running it twice changes nothing."""
    start = datetime.fromisoformat(hour)
    rollups.recompute(start, start + timedelta(hours=1))
