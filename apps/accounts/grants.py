"""Nobody grants more than they have: asked before a key is issued, changed or rotated.

A person grants in a team what their roles give them there. A key grants its own scopes, models and
networks at most, and nothing that outlives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from apps.accounts.errors import GrantExceeded
from apps.accounts.key_fields import is_within
from apps.accounts.models import ApiKey, Client
from apps.accounts.principals import Principal
from apps.accounts.roles import of_scopes

if TYPE_CHECKING:
    from apps.providers.models import Alias


def check_scopes(who: Principal, scopes: Iterable[str], team_id: int) -> None:
    """Raises GrantExceeded, which names what is missing."""
    for scope in sorted(scopes):
        missing = [each for each in of_scopes([scope]) if not who.may(each, team_id)]
        if missing:
            raise GrantExceeded(
                f"You may not give the scope {scope}: you do not have it in this team.",
                "Choose scopes that you have yourself.",
                "scopes",
            )


def check_aliases(client: Client, aliases: Sequence[Alias]) -> None:
    """A key's models are among its client's. Raises GrantExceeded."""
    if not aliases or client.may_use_all_aliases:
        return
    missing = {alias.name for alias in aliases} - {alias.name for alias in client.aliases.all()}
    if missing:
        names = ", ".join(sorted(missing))
        raise GrantExceeded(f"{client} may not use {names}.", "Allow it there first.", "aliases")


def check_own_bounds(
    who: Principal,
    *,
    aliases: Sequence[Alias],
    networks: Sequence[str],
    expires_at: datetime | None,
) -> None:
    """What a key makes or changes stays within its own lists. Raises GrantExceeded."""
    own = own_key(who)
    if own is None:
        return
    models = {alias.name for alias in own.aliases.all()}
    given = {alias.name for alias in aliases}
    if models and (not given or given - models):
        raise GrantExceeded(
            f"Your key may use {', '.join(sorted(models))} only.",
            "Name models from this list.",
            "aliases",
        )
    if not is_within(networks, own.networks):
        raise GrantExceeded(
            f"Your key may be used from {', '.join(own.networks)} only.",
            "Name networks within these.",
            "networks",
        )
    if own.expires_at is not None and (expires_at is None or expires_at > own.expires_at):
        raise GrantExceeded(
            f"Your key ends at {own.expires_at.isoformat()}.",
            "Choose an end that is no later.",
            "expires_at",
        )


def check_key(who: Principal, key: ApiKey) -> None:
    """Whoever gets a new secret of a key could have issued it. Raises GrantExceeded."""
    check_scopes(who, key.scopes, key.client.team_id)
    check_own_bounds(
        who,
        aliases=list(key.aliases.all()),
        networks=key.networks,
        expires_at=key.expires_at,
    )


def own_key(who: Principal) -> ApiKey | None:
    """The key that asks, if it is one."""
    if who.key_id is None:
        return None
    return ApiKey.objects.prefetch_related("aliases").filter(pk=who.key_id).first()
