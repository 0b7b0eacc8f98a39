"""`manage.py serve`, from the state folder to the last child's end."""

import gc
import json
import os
import socket
import time
import traceback
from importlib import import_module
from pathlib import Path

from chatvault.home import home_from_environment
from chatvault.progress import say
from chatvault.supervisor import state

_GATEWAY_MODULES = (
    "uvicorn.lifespan.on",
    "apps.gateway.lane",
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
    state.prepare(home)
    claim = state.claim(home)
    listener, url = _listen()  # reads the settings, which now find the secrets that were made
    say(f"starting; state is kept in {home}")
    set_up_django()
    set_up_state(home, url)

    from chatvault.supervisor import tasks
    from chatvault.supervisor.supervise import Supervisor

    supervisor = Supervisor(
        tasks.gateways(listener),
        tasks.background(),
        listener=listener,
        on_ready=lambda: say(f"ready at {url} after {time.monotonic() - began:.1f} s"),
        when_idle=_load_pages,
        on_change=lambda pids: _write_pids(home / "run" / "serve.json", url, pids),
    )
    try:
        return supervisor.run()
    finally:
        os.close(claim)


def _listen() -> tuple[socket.socket, str]:
    from chatvault.settings import CHATVAULT
    from chatvault.supervisor import address

    address.refuse_weak_secrets(CHATVAULT.core, CHATVAULT.vault)
    listener = address.listen(CHATVAULT.core.host, CHATVAULT.core.port)
    return listener, address.url_of(listener)


def address_of(listener: socket.socket) -> str:
    from chatvault.supervisor.address import url_of

    return url_of(listener)


def set_up_state(home: Path, url: str) -> None:
    from chatvault.first_run.run import first_run
    from chatvault.supervisor import database

    database.refuse_failed_checks()
    database.migrate_when_needed()
    first_run(home=home, url=url)
    preload()
    database.close()


def set_up_django() -> None:
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


def _load_pages() -> None:
    """The admin's own imports, so that a restart finds them done. Whatever is wrong with a page,
    the gateway goes on serving clients."""
    try:
        import_module("chatvault.urls")
    except Exception:  # any fault of any page; the gateway must outlive it
        traceback.print_exc()
        say("the admin cannot be loaded (see above); clients are served all the same")


def _write_pids(path: Path, url: str, pids: dict[str, int]) -> None:
    text = json.dumps({"url": url, "supervisor": os.getpid(), "children": pids}, indent=2)
    state.write_private(path, text + "\n")
