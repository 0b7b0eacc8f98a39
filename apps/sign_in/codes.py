"""Codes of authenticator apps and recovery codes, each of which works once."""

from __future__ import annotations

import logging
from typing import Any, Final

from allauth.core.internal.cryptokit import compare_user_code
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from allauth.mfa.utils import decrypt
from django.db import transaction

from apps.providers.errors import SecretUnavailable
from apps.sign_in.adapter import owner
from chatvault.lib.writer import hold_writer

log = logging.getLogger(__name__)
_LAST: Final = "last_counter"


def use(user: Any, code: str) -> Authenticator | None:
    """The authenticator that the code is of; it does not work again (RFC 6238 §5.2)."""
    token = owner.set(user.pk)
    try:
        return _totp(user, code) or _recovery(user, code)
    except SecretUnavailable:  # moved from somebody else, or sealed with a key that is gone
        log.error("the second factor of user %s cannot be opened", user.pk)
        return None
    finally:
        owner.reset(token)


@transaction.atomic
def _totp(user: Any, code: str) -> Authenticator | None:
    hold_writer()
    mine = Authenticator.objects.select_for_update().filter(user=user)
    row = mine.filter(type=Authenticator.Type.TOTP).first()
    if row is None:
        return None
    secret = decrypt(row.data["secret"])
    matched = [
        counter
        for counter in totp.yield_hotp_counters_from_time()
        if compare_user_code(
            actual=code, expected=totp.format_hotp_value(totp.hotp_value(secret, counter))
        )
    ]
    if not matched or matched[-1] <= row.data.get(_LAST, -1):
        return None
    row.data = {**row.data, _LAST: matched[-1]}
    row.save(update_fields=["data"])
    return row


def _recovery(user: Any, code: str) -> Authenticator | None:
    mine = Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES)
    row = mine.first()
    if row is None or not row.wrap().validate_code(code):
        return None
    return Authenticator.objects.get(pk=row.pk)
