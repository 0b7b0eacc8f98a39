"""What the apps below are told of this one when it starts. The rest loads when it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from apps.accounts import bearers, permissions
from apps.accounts.credentials import KeyRecord, Question
from apps.accounts.permissions import Rows
from apps.accounts.roles import Capability


def register() -> None:
    bearers.register("oauth", _find)
    of_payer = ("payer__team_id",)
    applications = Rows(view=Capability.OAUTH_READ, change=Capability.OAUTH_WRITE, teams=of_payer)
    permissions.register("oauth.application", applications)
    permissions.register("oauth.initialaccesstoken", applications)
    issued = Rows(
        view=Capability.OAUTH_READ,
        change=Capability.OAUTH_WRITE,
        teams=("application__payer__team_id",),
    )
    permissions.register("oauth.refreshtoken", issued)
    permissions.register("oauth.accesstoken", issued)


def _find(questions: Sequence[Question]) -> Mapping[str, KeyRecord]:
    from apps.oauth import tokens

    return tokens.find_tokens(questions)
