"""What can go wrong with the things of this app. Shown to operators, not to callers of the API:
the texts may name variables and files, never what is in them."""

from __future__ import annotations


class ProvidersError(Exception):
    """`reason` says what is wrong and `hint` how to mend it; neither holds a secret."""

    def __init__(self, reason: str, hint: str) -> None:
        self.reason = reason
        self.hint = hint
        super().__init__(f"{reason} {hint}")


class SecretUnavailable(ProvidersError):
    """A secret cannot be had now."""


class SecretRefused(ProvidersError):
    """What was given as a secret is not one that may be stored."""


class VaultKeysInvalid(ProvidersError):
    """The key ring itself is missing or malformed."""
