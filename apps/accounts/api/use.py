"""What machines do with more than inference is in the audit trail.

Changes are recorded by the services that make them. Of reading and of refusals there is one event
an hour for each credential, address and route, so that a poll every second does not flood the
trail; each process remembers what it has told.
"""

from __future__ import annotations

from typing import Any, Final

from rest_framework.request import Request

from apps.accounts.principals import Principal
from apps.audit import acting, trail
from chatvault.lib import clock

_HOUR_S: Final = 3_600
_MOST_TOLD: Final = 10_000
_SAFE: Final = ("GET", "HEAD", "OPTIONS")


class _Told:
    """What this process has recorded in the present hour."""

    def __init__(self) -> None:
        self.hour, self.seen = 0, set[tuple[Any, ...]]()

    def is_new(self, what: tuple[Any, ...]) -> bool:
        hour = int(clock.wall_s()) // _HOUR_S
        if hour != self.hour or len(self.seen) >= _MOST_TOLD:
            self.hour, self.seen = hour, set()
        if what in self.seen:
            return False
        self.seen.add(what)
        return True


_told = _Told()


def begin(request: Request, who: Principal) -> None:
    """From now on what is recorded is this caller's doing."""
    acting.become(actor_of(who))


def note(request: Request, who: Principal, capability: str, *, is_allowed: bool) -> None:
    """A machine has asked. Raises what keeps it from being recorded: then it gets no answer."""
    method = request.method or ""
    if who.kind == "person" or (is_allowed and method not in _SAFE):
        return
    route = _route_of(request)
    action = "api.read" if is_allowed else "api.refused"
    holder = (who.kind, who.key_id, who.client_id, who.user_id, who.name)
    if _told.is_new((action, *holder, acting.current().address, route, method)):
        trail.record(
            action,
            after={"method": method, "route": route, "capability": capability},
            team_id=next(iter(who.in_teams)) if len(who.in_teams) == 1 else None,
        )


def actor_of(who: Principal) -> acting.Actor:
    """With the id of the credential, since names of keys are unique for a client only."""
    if who.kind == "person":
        return who.as_actor()
    ids = [("key", who.key_id), ("client", who.client_id)]
    named = ", ".join(f"{kind} {number}" for kind, number in ids if number)
    name = f"{who.name} ({named})" if named else who.name
    return acting.Actor(who.kind, name, who.user_id)


def _route_of(request: Request) -> str:
    match = request._request.resolver_match
    return match.route if match is not None else request.path
