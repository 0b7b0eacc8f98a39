"""What can go wrong with a job, and how it is told without secrets."""

from __future__ import annotations

import re
from typing import Final

from chatvault.lib.errors import ChatVaultError
from chatvault.lib.redact import MASK

_MOST: Final = 500
_SECRET: Final = re.compile(
    r"(?<=://)[^\s/@]+@"  # user and password of a URL
    r"|\b(?:cv_|sk-|sk_|pk-|AIza|Bearer\s+)[\w.\-]+"
    r"|(?=\w*\d)(?=\w*[A-Za-z])[\w+/=\-]{24,}"  # long, of digits and letters: a key or a digest
)


class JobProblem(Exception):
    """A job found something that an operator has to look at. Its text is shown as it is."""


class NothingToDo(JobProblem):
    """Somebody else does it or has done it; or it must not be tried again for now."""


class JobOverdue(JobProblem):
    def __init__(self) -> None:
        super().__init__("It took longer than CHATVAULT_CELERY_TIME_LIMIT_S and was stopped.")


class JobTakenAway(JobProblem):
    """It gave no sign of life for so long that it counts as lost; somebody else does it."""


def told(error: BaseException) -> tuple[str, str]:
    """Class and message for a page: one line, nothing that looks like a secret."""
    if isinstance(error, JobProblem):
        text = str(error)
    elif isinstance(error, ChatVaultError):
        text = error.message
    else:
        first = str(error).strip().splitlines()[:1]
        text = clean(first[0] if first else "")
    return type(error).__name__[:100], text[:_MOST]


def clean(text: str) -> str:
    """The text without what may be a secret."""
    return _SECRET.sub(MASK, text)
