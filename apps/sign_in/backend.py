"""Passwords of local accounts, by user name or e-mail address."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from apps.accounts.models import User


class PasswordBackend(ModelBackend):
    """One hash is computed whoever is asked for, so that the time tells nothing."""

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
        if user is None:
            User().set_password(password)
            return None
        if user.check_password(password) and self.user_can_authenticate(user):
            return user
        return None


def find_account(login: str) -> User | None:
    """By user name; else by an e-mail address that is of one account only."""
    found = User.objects.filter(username=login).first()
    if found is not None or "@" not in login:
        return found
    several = list(User.objects.filter(email__iexact=login, is_active=True)[:2])
    return several[0] if len(several) == 1 else None
