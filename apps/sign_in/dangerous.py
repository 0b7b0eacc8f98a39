"""What asks again who one is when that was proved too long ago."""

from __future__ import annotations

from typing import Final

from allauth.account.internal.flows.login import get_authentication_records
from django.conf import settings
from django.http import HttpRequest

from apps.sign_in import sessions
from chatvault.lib import clock

_PAGES: Final = (
    "accounts_user_", "accounts_membership_", "accounts_installationrole_",
    "providers_credential_", "oauth_", "oauth2_provider_", "sign_in_identityprovider_",
    "sign_in_rolerule_", "sign_in_invitation_", "sign_in_failedsignins_",
    "sign_in_personsession_", "accounts_trustedissuer_", "accounts_issuerrule_",
    "accounts_signingkey_", "sign_in_unlink",
    "mfa_authenticator_",
)  # fmt: skip
"""Pages of the admin whose forms grant access, hold secrets or end what others do."""

_LISTS: Final = ("_changelist", "_history")
_TIME_FOR_A_FORM_S: Final = 1800.0
"""Who was asked before a form was opened is not asked again while filling it in."""


def asks_again(request: HttpRequest, name: str) -> bool:
    """Whether this request, to the page of that name, has to wait until one proved who one is."""
    if not name.startswith(_PAGES):
        return False
    is_read = request.method in ("GET", "HEAD", "OPTIONS")
    if is_read and name.endswith(_LISTS):
        return False
    return is_stale(request, more_s=0.0 if is_read else _TIME_FOR_A_FORM_S)


def is_stale(request: HttpRequest, *, more_s: float = 0.0) -> bool:
    """Whether it is too long ago that the person proved who they are."""
    allowed_s = settings.CHATVAULT.sign_in.reauthenticate_after_min * 60 + more_s
    return clock.wall_s() - proved_at(request) > allowed_s


def proved_at(request: HttpRequest) -> float:
    """When the person last proved who they are, in seconds since the epoch."""
    begun = float(request.session.get(sessions.STARTED) or 0.0)
    records = get_authentication_records(request, request.user)
    return max([begun, *(float(each.get("at") or 0.0) for each in records)])
