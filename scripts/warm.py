"""Rehearses a first run in a folder that is thrown away, so that the real one finds everything
compiled. Touches nothing but that folder."""

import contextlib
import io
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path

_FOR_REHEARSAL = {"DJANGO_SETTINGS_MODULE": "chatvault.settings"}
_ALSO = (
    "chatvault.urls",
    "chatvault.asgi_gateway",
    "chatvault.asgi_web",
    "chatvault.celery",
    "celery.apps.worker",
    "celery.apps.beat",
)
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


def rehearse(home: Path) -> None:
    """With none of the operator's settings: no database, provider or key of theirs is used."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    os.environ.clear()
    os.environ.update(kept, CHATVAULT_HOME=str(home), **_FOR_REHEARSAL)
    from chatvault.supervisor import main, state

    state.prepare(home)
    main.set_up_django()
    main.set_up_state(home, "")
    main.preload()
    for name in _ALSO:
        import_module(name)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        rehearse(Path(folder) / "home")
