"""Why somebody does not get in, in words for the person."""

from __future__ import annotations


class SignInRefused(Exception):
    """What the person is told. `reason` is for the trail: short and of few kinds."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ProviderFailed(SignInRefused):
    """The provider answered with something that must not be believed, or not at all."""

    def __init__(self, message: str, reason: str = "provider") -> None:
        super().__init__(reason, message)
