"""Lines that say what is being done."""

import sys
import time


class _Form:
    """One instance, below: how lines are written."""

    as_json = False


_form = _Form()


def write_json() -> None:
    """From now on each line is an object, as the log's are."""
    _form.as_json = True


def say(text: str) -> None:
    """A line of progress, at once."""
    if _form.as_json:
        from chatvault.lib import logs

        sys.stdout.write(logs.line_of(text, role=logs.role(), seconds=time.time()) + "\n")
    else:
        sys.stdout.write(f"chatvault: {text}\n")
    sys.stdout.flush()
