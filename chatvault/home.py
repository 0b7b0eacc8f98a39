"""Where state is kept; every other place hangs off it."""

import os
from pathlib import Path


def home_from_environment() -> Path:
    """The state folder, absolute: CHATVAULT_HOME, or `var` in the working folder."""
    return Path(os.environ.get("CHATVAULT_HOME") or "var").expanduser().absolute()
