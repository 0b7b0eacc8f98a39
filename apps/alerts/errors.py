from __future__ import annotations

from typing import Final

MOST: Final = 300


class ChannelRefused(Exception):
    """A channel that cannot be saved: which field, what is wrong and how to mend it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class SendFailed(Exception):
    """An alert that did not get through, in words for people; holds no address, no secret and
    nothing of what was answered."""

    def __init__(self, message: str) -> None:
        super().__init__(message[:MOST])
        self.message = message[:MOST]
