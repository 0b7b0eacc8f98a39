"""`manage.py serve`, from the state folder to the last child's end."""

import gc
import json
import os
import time
from importlib import import_module, reload
from pathlib import Path

from chatvault.settings.core import CoreSettings
from chatvault.settings.section import home_from_environment
from chatvault.settings.vault import VaultSettings
from chatvault.supervisor import address, state
from chatvault.supervisor.address import say

_GATEWAY_MODULES = (
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
    "chatvault.asgi",
)


def run() -> int:
    """Prepares, serves until it is told to stop, and returns the exit status.

    Raises Refusal, before anything heavy is imported, when it cannot serve.
    """
    began = time.monotonic()
    os.umask(0o077)  # state is nobody else's business
    home = home_from_environment()
    core = CoreSettings()
    state.prepare(home)
    _take_up_made_secrets()
    address.refuse_weak_secrets(core, VaultSettings())
    listener = address.listen(core.host, core.port)
    url = address.url_of(listener)

    say(f"starting; state is kept in {home}")
    _set_up_django()
    from chatvault.supervisor import database

    database.refuse_failed_checks()
    database.migrate_when_needed()
    from chatvault.first_run.run import first_run

    first_run(home=home, url=url)
    preload()
    database.close()

    from chatvault.supervisor import tasks
    from chatvault.supervisor.supervise import Supervisor

    supervisor = Supervisor(
        tasks.gateways(listener),
        tasks.background(),
        listener=listener,
        on_ready=lambda: say(f"ready at {url} after {time.monotonic() - began:.1f} s"),
        when_idle=lambda: import_module("chatvault.urls"),  # so that a restart finds it loaded
        on_change=lambda pids: _write_pids(home / "run" / "serve.json", url, pids),
    )
    return supervisor.run()


def _take_up_made_secrets() -> None:
    """The settings were read on import, when a first run had not made its secrets yet."""
    reload(import_module("chatvault.settings"))


def _set_up_django() -> None:
    import django

    from chatvault.admin_app import AdminConfig

    AdminConfig.finds_pages_at_start = False
    django.setup()


def preload() -> None:
    """Imports what the gateway needs, once for all its lives: a restart is a fork."""
    for name in _GATEWAY_MODULES:
        import_module(name)
    gc.collect()
    gc.freeze()  # what is shared by fork is never looked at, so it stays shared


def _write_pids(path: Path, url: str, pids: dict[str, int]) -> None:
    text = json.dumps({"url": url, "supervisor": os.getpid(), "children": pids}, indent=2)
    state.write_private(path, text + "\n")
