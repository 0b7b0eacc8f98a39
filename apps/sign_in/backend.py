"""Passwords of local accounts, by user name or e-mail address, for whichever page asks."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from apps.accounts.models import User
from apps.sign_in import attempt, backoff


class PasswordBackend(ModelBackend):
    """Every attempt is counted. One hash is computed whoever is asked for and whether or not the
    attempt has to wait, so that the time tells nothing."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **_: Any,
    ) -> User | None:
        if username is None or password is None:
            return None
        user = find_account(username)
        address = attempt.address_of(request)
        of = backoff.subjects(user.get_username() if user else username, address)
        may_try = backoff.begin(of)
        if user is None or not may_try:
            User().set_password(password)
            if may_try:
                attempt.record_failure(None, username, "password")
            return None
        if user.check_password(password) and self.user_can_authenticate(user):
            backoff.succeeded(of)
            return user
        attempt.record_failure(user, username, "password")
        return None


def find_account(login: str) -> User | None:
    """By user name; else by an e-mail address that is of one account only."""
    found = User.objects.filter(username=login).first()
    if found is not None or "@" not in login:
        return found
    several = list(User.objects.filter(email__iexact=login, is_active=True)[:2])
    return several[0] if len(several) == 1 else None
