"""Ask what would have been, and keep the answer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet

from apps.accounts.principals import Principal
from apps.accounts.roles import Capability
from apps.audit import trail
from apps.billing.models import PricingTier
from apps.configuration import job_queue
from apps.forecasts import what_if
from apps.forecasts.models import WhatIf
from apps.forecasts.what_if import Line, Result
from chatvault.lib.errors import InvalidField

AT_ONCE: Final = 2_000
"""So many rows are priced while somebody waits; more are left to a worker."""
LONGEST: Final = timedelta(days=400)
JOB: Final = "what-if"
TASK: Final = "apps.forecasts.tasks.answer_what_if"


def refuse_nonsense(asked: WhatIf) -> None:
    """Raises InvalidField."""
    if asked.ends_at <= asked.starts_at:
        raise InvalidField("The end must come after the beginning.", param="to")
    if asked.ends_at - asked.starts_at > LONGEST:
        raise InvalidField(f"At most {LONGEST.days} days at a time.", param="to")
    if not _changes(asked):
        raise InvalidField(
            "Say what would be otherwise: a model, a share that is cached, a service tier or a "
            "pricing tier.",
            param="model",
        )


@transaction.atomic
def ask(*, asked: WhatIf, author: str) -> WhatIf:
    """Keep the question, and its answer where it is quick; else a worker finds it. Raises
    InvalidField for one that makes no sense."""
    refuse_nonsense(asked)
    asked.author_name = author
    asked.words = in_words(asked)
    asked.save()
    trail.record(
        "whatif.added",
        target=asked,
        after={"words": asked.words, "from": str(asked.starts_at), "to": str(asked.ends_at)},
        team_id=asked.client.team_id,
    )
    if what_if.count_of(asked, AT_ONCE) <= AT_ONCE:
        answer(asked, lambda _done, _total: None)
    else:
        job_queue.enqueue(JOB, TASK, {"what_if_id": asked.pk})
    return asked


def answer(asked: WhatIf, progress: what_if.Progress) -> None:
    """Work it out and keep it; again, it is made anew."""
    result = what_if.work_out(asked, progress)
    lines = list(result.lines.values())
    compared = [line for line in lines if line.requests > line.left_out]
    asked.requests = sum(line.requests for line in lines)
    asked.left_out = sum(line.left_out for line in lines)
    asked.is_exact = result.is_exact
    asked.cost_now_nano = sum(line.cost_now for line in lines)
    asked.charged_now_nano = sum(line.charged_now for line in lines)
    is_known = bool(compared) or not lines
    asked.cost_then_nano = sum(line.cost_then for line in lines) if is_known else None
    asked.charged_then_nano = sum(line.charged_then for line in lines) if is_known else None
    asked.lines = [_told(name, line) for name, line in sorted(result.lines.items())]
    asked.notes = _notes(result, lines)
    asked.state = WhatIf.State.DONE
    asked.save()


def in_words(asked: WhatIf) -> str:
    return ", ".join(_changes(asked)) + (
        f" (only requests of {asked.only_alias})" if asked.only_alias else ""
    )


def tiers_for(who: Principal) -> QuerySet[PricingTier]:
    """Those whose prices somebody may know: all, or those of clients of the own teams."""
    teams = who.teams_with(Capability.BILLING_READ)
    if teams is None:
        return PricingTier.objects.all()
    return PricingTier.objects.filter(clients__team__in=teams).distinct()


def month_of(now: datetime) -> tuple[datetime, datetime]:
    """From the first of the month, in UTC, until now."""
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0), now


def _changes(asked: WhatIf) -> list[str]:
    found = []
    if asked.alias is not None:
        found.append(f"on {asked.alias.name}")
    if asked.cached_percent is not None:
        found.append(f"{asked.cached_percent} % of prompts cached")
    if asked.service_tier:
        found.append(f"in the provider's tier {asked.service_tier}")
    if asked.tier is not None:
        found.append(f"in the pricing tier {asked.tier.name}")
    return found


def _told(name: str, line: Line) -> dict[str, Any]:
    is_known = line.requests > line.left_out
    return {
        "model": name,
        "requests": line.requests,
        "left_out": line.left_out,
        "cost_now": line.cost_now,
        "cost_then": line.cost_then if is_known else None,
        "charged_now": line.charged_now,
        "charged_then": line.charged_then if is_known else None,
        "charged_left_out": line.charged_left_out,
    }


def _notes(result: Result, lines: list[Line]) -> list[str]:
    notes = list(result.notes)
    if left_out := sum(line.left_out for line in lines):
        notes.insert(
            0,
            f"{left_out:,} requests are left out of both sides, because they would have no price.",
        )
    return notes
