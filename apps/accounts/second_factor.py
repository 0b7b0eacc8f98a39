"""Whether somebody's second factor is right: known by the app that manages sign-in."""

from __future__ import annotations

from collections.abc import Callable

from apps.accounts.models import User

Check = Callable[[User, str], bool]
"""Is this one-time code the person's? For somebody without a second factor that needs none:
True, whatever the code. Uses a code up."""

_checks: list[Check] = []


def register(check: Check) -> None:
    _checks.append(check)


def is_right(user: User, code: str) -> bool:
    return all(check(user, code) for check in _checks)
