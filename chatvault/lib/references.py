"""References to secrets: `env:NAME` and `file:PATH`, resolved when the secret is needed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from chatvault.lib.redact import Secret

MAX_SECRET_BYTES: Final = 64 * 1024

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = re.compile(
    r"(CHATVAULT_)?SECRET_KEY|CHATVAULT_(VAULT_\w+|KEY_PEPPER)|DATABASE_URL|REDIS_URL|CELERY_\w+"
    r"|CHATVAULT_\w*(DATABASE|REDIS|CELERY|BROKER)\w*",
)


class SecretProblem(Exception):
    """`reason` says what is wrong and `hint` how to mend it. They may name a variable or a file,
    never what is in it, and are for operators, not for callers of the API."""

    def __init__(self, reason: str, hint: str) -> None:
        self.reason = reason
        self.hint = hint
        super().__init__(f"{reason} {hint}")


class SecretUnavailable(SecretProblem):
    """A secret cannot be had now."""


class SecretRefused(SecretProblem):
    """What was given as a secret is not one that may be used."""


def is_reference(text: str) -> bool:
    return text.startswith(("env:", "file:"))


def check_reference(text: str, *, home: Path | None = None) -> None:
    """Raises SecretRefused for a malformed reference and for one that would hand out ChatVault's
    own secrets: its variables, and files below its state folder `home`."""
    kind, _, name = text.partition(":")
    if kind == "env":
        _check_variable(name)
    elif kind == "file":
        _check_file(name, home)
    else:
        raise SecretRefused("This is not a reference.", "Write env:NAME or file:PATH.")


def resolve(
    reference: str, *, environ: Mapping[str, str] | None = None, home: Path | None = None
) -> Secret:
    """What a reference points at, stripped: one line of text.

    Raises SecretUnavailable, or SecretRefused as `check_reference` does.
    """
    check_reference(reference, home=home)
    kind, _, name = reference.partition(":")
    if kind == "file":
        value, absent = _read_file(name), f"The file {name} is empty."
        mend = "Write the secret into it."
    else:
        value = (os.environ if environ is None else environ).get(name, "").strip()
        absent, mend = f"{name} is not set.", "Set it where ChatVault runs and restart."
    if not value:
        raise SecretUnavailable(absent, mend)
    if any(c < " " or c == "\x7f" for c in value):
        raise SecretUnavailable(
            f"What {reference} holds has line breaks or control characters in it.",
            "A secret is one line of text.",
        )
    return Secret(value)


def _check_variable(name: str) -> None:
    if not _ENV_NAME.fullmatch(name):
        raise SecretRefused(
            "The name after env: is not the name of a variable.",
            "Write it like env:OPENAI_API_KEY.",
        )
    if _OURS.fullmatch(name.upper().removesuffix("_FILE")):
        raise SecretRefused(
            f"{name} is one of ChatVault's own secrets and nobody else may have it.",
            "Put this secret into a variable of its own.",
        )


def _check_file(name: str, home: Path | None) -> None:
    path = Path(name)
    if not path.is_absolute() or "\x00" in name:
        raise SecretRefused(
            "The path after file: is not absolute.", "Write it like file:/run/secrets/openai."
        )
    real = Path(os.path.realpath(path))
    is_ours = home is not None and real.is_relative_to(os.path.realpath(home))
    if is_ours or real.is_relative_to("/proc") or real.is_relative_to("/sys"):
        raise SecretRefused(
            f"{name} is where ChatVault or the system keeps its own state.",
            "Put this secret into a file of its own.",
        )


def _read_file(name: str) -> str:
    try:
        with Path(name).open("rb") as file:
            data = file.read(MAX_SECRET_BYTES + 1)
        if len(data) > MAX_SECRET_BYTES:
            raise SecretUnavailable(
                f"The file {name} is too large for a secret.", "Point to the right file."
            )
        return data.decode().strip()
    except UnicodeDecodeError:
        reason = "it is not text"
    except OSError as error:
        reason = error.strerror or "it cannot be opened"
    raise SecretUnavailable(
        f"The file {name} cannot be read: {reason}.",
        "Create it, or let the user that runs ChatVault read it.",
    )
