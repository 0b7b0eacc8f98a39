"""The page of rate limits: who is closest, what was refused, by whom and when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpRequest

from apps.accounts import permissions
from apps.accounts.admin.limited import asking
from apps.accounts.models import Team
from apps.billing import rate_limits, words
from apps.billing.admin import bars
from apps.billing.models import SCOPES, Quota
from apps.billing.rate_limits import Hour, Line, Wanted
from apps.usage.charts import Chart, Stack, stacked_chart
from chatvault.lib import clock

_SHOWN: Final = 100
_SPANS: Final = {"24": "24 hours", "72": "3 days", "168": "7 days"}
_NAMES: Final = {
    "team": "Teams", "client": "Clients", "key": "Keys", "user": "People", "alias": "Models",
    "provider": "Providers",
}  # fmt: skip
_COLOURS: Final = ("#7c3aed", "#2563eb", "#0891b2", "#059669", "#d97706", "#dc2626")


def rate_limits_page(request: HttpRequest) -> dict[str, Any]:
    """What `usage/rate_limits.html` shows, by `scope`, `unit`, `team`, `mode`, `q` and `hours`."""
    who, given = asking(request), request.GET
    hours = given.get("hours", "24")
    hours = hours if hours in _SPANS else "24"
    wanted = _wanted(given)
    since = clock.now() - timedelta(hours=int(hours))
    lines = rate_limits.lines(who, wanted, since)
    over_time = rate_limits.hours(who, wanted, since)
    teams: QuerySet[Team] = permissions.limit(Team.objects.order_by("name"), who)
    return {
        "title": "Rate limits",
        "rows": [_row(line) for line in lines[:_SHOWN]],
        "more": max(len(lines) - _SHOWN, 0),
        "is_known": any(line.use.used is not None for line in lines) or not lines,
        "charts": [
            _chart("refused", "Refused per hour, by what the quota is on", over_time),
            _chart("observed", "Would have been refused (only observed)", over_time),
        ],
        "scopes": list(_NAMES.items()),
        "units": Quota.Unit.choices,
        "teams": [(str(pk), name) for pk, name in teams.values_list("pk", "name")],
        "spans": list(_SPANS.items()),
        "given": {name: given.get(name, "") for name in ("scope", "unit", "team", "mode", "q")},
        "hours": hours,
        "is_filtered": any(given.get(name) for name in ("scope", "unit", "team", "mode", "q")),
    }


def _wanted(given: Any) -> Wanted:
    team = given.get("team", "")
    modes = {"observes": True, "refuses": False}
    return Wanted(
        scope=given.get("scope", "") if given.get("scope") in SCOPES else "",
        unit=given.get("unit", "") if given.get("unit") in Quota.Unit.values else "",
        team_id=int(team) if team.isascii() and team.isdigit() and len(team) < 19 else None,
        observes=modes.get(given.get("mode", "")),
        search=given.get("q", ""),
    )


def _row(line: Line) -> dict[str, Any]:
    use, quota = line.use, line.use.quota
    return {
        "id": quota.pk,
        "name": str(quota.scope),
        "kind": {"alias": "model", "user": "person"}.get(quota.kind, quota.kind),
        "words": words.quota_in_words(quota),
        "bar": bars.quota_bar(use),
        "ends_at": use.ends_at,
        "ceiling": f"{use.ceiling:,}",
        "observes": quota.observes,
        "refused": f"{line.sums.refused:,}",
        "observed": f"{line.sums.observed:,}",
    }


def _chart(name: str, title: str, hours: list[Hour]) -> Chart:
    labels = [f"{one.at:%d %b %H}:00" for one in hours]
    stacks = [
        Stack(label, colour, [getattr(one, name).get(scope, 0) for one in hours])
        for (scope, label), colour in zip(_NAMES.items(), _COLOURS, strict=True)
    ]
    shown = [stack for stack in stacks if any(stack.values)]
    return stacked_chart(name, title, labels, shown)
