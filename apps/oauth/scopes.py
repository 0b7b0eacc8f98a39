"""What applications can be allowed: the scopes of machines, and who the person is (OIDC)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from oauth2_provider.scopes import BaseScopes

from apps.accounts.principals import Principal
from apps.accounts.roles import ADMIN_SCOPE, MACHINE_SCOPES, MEANINGS, Capability, of_scopes

if TYPE_CHECKING:
    from apps.oauth.models import Application

OPENID: Final = "openid"
IDENTITY: Final[dict[str, str]] = {
    OPENID: "That it is you: your number here",
    "profile": "Your name and user name",
    "email": "Your e-mail address",
}
OFFERED: Final = MACHINE_SCOPES | frozenset(IDENTITY)
ORDER: Final = tuple(
    each for each in (*IDENTITY, *(one.value for one in Capability), ADMIN_SCOPE) if each in OFFERED
)
_ADMIN: Final = "Everything that an admin of the team may do, OAuth applications excepted"


def in_words(scope: str) -> str:
    """For people who decide whether to give it."""
    if scope == ADMIN_SCOPE:
        return _ADMIN
    return IDENTITY.get(scope) or MEANINGS[Capability(scope)]


def choices() -> list[tuple[str, str]]:
    return [(scope, f"{scope} – {in_words(scope)}") for scope in ORDER]


def may_give(who: Principal, scope: str, team_id: int) -> bool:
    """Nobody grants more than they have, in that team; who they are is theirs to tell."""
    return scope in IDENTITY or (scope in OFFERED and who.holds_all(of_scopes([scope]), team_id))


def narrowed(
    asked: Iterable[str], application: Application, who: Principal | None
) -> tuple[str, ...]:
    """Of what is asked for, what the application may have and the person may give.

    Without a person the application acts for itself, and has no identity to tell.
    """
    wanted, allowed = set(asked), set(application.scopes)
    team_id = application.team_id
    return tuple(
        scope
        for scope in ORDER
        if scope in wanted
        and scope in allowed
        and (may_give(who, scope, team_id) if who else scope not in IDENTITY)
    )


class OfferedScopes(BaseScopes):
    """For the toolkit."""

    def get_all_scopes(self) -> dict[str, str]:
        return {scope: in_words(scope) for scope in ORDER}

    def get_available_scopes(
        self, application: Any = None, request: Any = None, *args: Any, **kwargs: Any
    ) -> list[str]:
        """What may be asked for; more is refused as invalid_scope (RFC 6749 §3.3)."""
        if application is None:
            return list(ORDER)
        allowed = set(application.scopes)
        if application.authorization_grant_type == application.GRANT_CLIENT_CREDENTIALS:
            allowed -= set(IDENTITY)
        return [scope for scope in ORDER if scope in allowed]

    def get_default_scopes(
        self, application: Any = None, request: Any = None, *args: Any, **kwargs: Any
    ) -> list[str]:
        return self.get_available_scopes(application, request)
