"""What happens to a request while budgets near their amounts, by what its reservation was told."""

from __future__ import annotations

from typing import NamedTuple

from apps.billing.limits import Headroom, ScopeLimits, Stage
from chatvault.lib.errors import RateLimited

WARNING_HEADER = b"x-chatvault-budget-warning"
DEGRADED_HEADER = b"x-chatvault-degraded-to"


class Reached(NamedTuple):
    """A stage of a budget that has used so much."""

    kind: str
    percent: int
    stage: Stage


def reached(scopes: tuple[ScopeLimits, ...], headroom: Headroom) -> list[Reached]:
    """Every stage that counts now, the fullest budget first and its highest stage first."""
    used = {budget_id: (nano, amount) for budget_id, nano, amount in headroom.used}
    found: list[Reached] = []
    for scope in scopes:
        for budget in scope.budgets:
            if not budget.stages or budget.id not in used:
                continue
            nano, amount = used[budget.id]
            percent = nano * 100 // amount if amount else 100
            found.extend(
                Reached(scope.kind, percent, stage)
                for stage in budget.stages
                if percent >= stage.at_percent
            )
    found.sort(key=lambda one: (-one.percent, -one.stage.at_percent))
    return found


def warning(stages: list[Reached]) -> str:
    """Such as `team 82%, client 91%`; whose it is, never which."""
    told = dict.fromkeys(f"{one.kind} {one.percent}%" for one in stages if _warns(one))
    return ", ".join(told)


def check_pace(stages: list[Reached], headroom: Headroom) -> None:
    """Raises RateLimited where a stage slows down and its minute is full."""
    for one in stages:
        if one.stage.action == "throttle" and one.stage.id in headroom.observed:
            pace = one.stage.requests_per_minute
            wait_s = -(-60 // pace)
            refusal = RateLimited(
                f"The budget of this {one.kind} is used to {one.percent} %: from "
                f"{one.stage.at_percent} % on it may send {pace} requests a minute. "
                f"Try again in {wait_s} s.",
                headers={"retry-after": str(wait_s), "retry-after-ms": str(wait_s * 1000)},
            )
            refusal.scope = one.kind
            raise refusal


def cheaper_alias(stages: list[Reached]) -> str:
    """The model that serves instead; "": none."""
    return next((one.stage.alias for one in stages if one.stage.action == "degrade"), "")


def _warns(one: Reached) -> bool:
    return one.stage.action != "observe"
