"""How the command line says no: one sentence that tells how to mend it, and a status."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class Refusal(Exception):
    """ChatVault cannot go on as it is set up; the text says why and how to mend it."""


@contextmanager
def told_in_a_sentence() -> Iterator[None]:
    """Turns a refusal into lines on standard error and exit status 2."""
    try:
        yield
    except Refusal as refusal:
        for sentence in str(refusal).splitlines():
            sys.stderr.write(f"chatvault: {sentence.strip()}\n")
        sys.exit(2)
