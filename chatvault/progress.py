"""Lines that say what is being done."""

import sys


def say(text: str) -> None:
    """A line of progress, at once."""
    sys.stdout.write(f"chatvault: {text}\n")
    sys.stdout.flush()
