"""What can go wrong with a job, and how it is told without secrets."""

from __future__ import annotations

from typing import Final

from chatvault.lib.errors import ChatVaultError
from chatvault.lib.redact import describe

_MOST: Final = 500


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
    """Class and message for a page: nothing that looks like a secret or quotes a value."""
    if isinstance(error, JobProblem):
        text = str(error)
    elif isinstance(error, ChatVaultError):
        text = error.message
    else:
        text = describe(error)
    return type(error).__name__[:100], text[:_MOST]
