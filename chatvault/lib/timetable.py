"""When a job is due. `chatvault/beat.py` is the one file that says so for all of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Every:
    """Again and again, so many seconds apart."""

    seconds: int

    def __str__(self) -> str:
        for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
            count, rest = divmod(self.seconds, size)
            if not rest:
                return f"every {unit}" if count == 1 else f"every {count} {unit}s"
        return f"every {self.seconds} seconds"


@dataclass(frozen=True, slots=True)
class Daily:
    """Once a day, at this time in UTC."""

    hour: int
    minute: int

    def __str__(self) -> str:
        return f"daily at {self.hour:02d}:{self.minute:02d} UTC"


When = Every | Daily


def read(text: str) -> When | None:
    """What `write` wrote; None for anything else."""
    kind, _, rest = text.partition(" ")
    numbers = rest.split(":")
    if not all(each.isascii() and each.isdigit() for each in numbers):
        return None
    if kind == "every" and len(numbers) == 1 and int(rest):
        return Every(int(rest))
    if kind == "daily" and len(numbers) == 2:
        return Daily(int(numbers[0]), int(numbers[1]))
    return None


def write(when: When) -> str:
    """A text that `read` understands."""
    if isinstance(when, Every):
        return f"every {when.seconds}"
    return f"daily {when.hour}:{when.minute}"


@dataclass(frozen=True, slots=True)
class Job:
    """`task` is the dotted name of a task without arguments; `purpose` is one sentence. Runs of a
    job that is not recorded leave no rows."""

    task: str
    when: When
    purpose: str
    is_recorded: bool = True
