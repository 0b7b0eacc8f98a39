"""What can go wrong with people, clients and keys, for those who manage them."""

from __future__ import annotations


class AccountsError(Exception):
    """`reason` says what is wrong and `hint` how to mend it; neither holds a key."""

    reason = "This cannot be done."
    hint = ""

    def __init__(self, reason: str | None = None, hint: str | None = None) -> None:
        self.reason = reason or self.reason
        self.hint = hint or self.hint
        super().__init__(f"{self.reason} {self.hint}".strip())


class KeyTooWeak(AccountsError):
    reason = "The given key is not fit to be one."
    hint = (
        "Give 20 to 256 printable characters without blanks; only keys that ChatVault made begin "
        "with cv_."
    )


class KeyTaken(AccountsError):
    reason = "This key is in use already."
    hint = "Give every key a secret of its own."


class KeyNameTaken(AccountsError):
    reason = "The client has a key of this name."
    hint = "Choose another name; the names of revoked keys are not used again."


class KeyRevoked(AccountsError):
    reason = "The key was revoked, which is for good."
    hint = "Issue a new key under another name."


class NotYoursToGive(AccountsError):
    reason = "This role allows more than you may do yourself."
    hint = "Ask somebody who has it, or an owner of the installation."


class LastOwner(AccountsError):
    reason = "This is the last owner of the installation: nobody could manage it any more."
    hint = "Make somebody else an owner first."


class NoSuchPerson(AccountsError):
    reason = "Nobody has exactly this user name or e-mail address, or several people have it."
    hint = "Check the spelling, or give the user name."


class KeyRotated(AccountsError):
    reason = "The key was rotated already."
    hint = "Rotate its successor instead."


class FieldWrong(AccountsError):
    """A field of a key cannot be what was given. `field` is its name."""

    def __init__(self, reason: str, hint: str, field: str) -> None:
        super().__init__(reason, hint)
        self.field = field


class GrantExceeded(AccountsError):
    """Somebody would give more than they have. `field` is where."""

    def __init__(self, reason: str, hint: str, field: str) -> None:
        super().__init__(reason, hint)
        self.field = field
