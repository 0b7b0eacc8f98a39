"""What was refused, by whoever knows it: the memory of this process where it alone answers clients,
else what all gateway processes have told through their journals."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db.models import Sum

from apps.accounts.models import Client
from apps.accounts.principals import OWNER, Principal
from apps.accounts.roles import Capability
from apps.usage import refused
from apps.usage.models import ErrorGroup, ErrorHour, RefusalSample
from apps.usage.refused import Refusal, Report
from chatvault.lib import clock
from chatvault.settings.sections import Sections

SHOWN: Final = 500
SPAN: Final = timedelta(hours=24)


def report(who: Principal = OWNER) -> tuple[Report, bool]:
    """The report, and whether it is a stored one: of every process, some seconds late, counted
    over the last 24 hours and not since the start. Somebody of teams hears of their clients."""
    sections: Sections = settings.CHATVAULT
    is_alone = sections.gateway.processes == 1 and not sections.redis.is_used
    known = refused.report() if is_alone else None
    found, is_stored = (known, False) if known is not None else (stored(), True)
    teams = who.teams_with(Capability.USAGE_READ)
    if teams is not None:
        found = found.of(set(Client.objects.filter(team__in=teams).values_list("pk", flat=True)))
    return found, is_stored


def stored() -> Report:
    """Three queries."""
    since = (clock.now() - SPAN).replace(minute=0, second=0, microsecond=0)
    hours = ErrorHour.objects.filter(hour__gte=since).order_by().values_list("group_id")
    sums = dict(hours.annotate(Sum("count")))
    groups = ErrorGroup.objects.filter(kind=ErrorGroup.Kind.REFUSAL, last_seen__gte=since)
    return Report(
        since_s=since.timestamp(),
        latest=tuple(
            Refusal(
                at_s=row.at.timestamp(),
                client_id=row.client_id,
                key_id=row.key_id,
                alias=row.alias,
                status=row.status,
                code=row.code,
                message=row.message,
                count=row.count,
            )
            for row in RefusalSample.objects.order_by("-at", "-pk")[:SHOWN]
        ),
        counts={
            (group.client_id, group.code): sums[group.pk] for group in groups if group.pk in sums
        },
    )
