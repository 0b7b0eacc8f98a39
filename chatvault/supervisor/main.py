"""`manage.py serve` and `manage.py prepare`, from the state folder to the last child's end."""

import gc
import logging
import os
import socket
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from chatvault.home import home_from_environment
from chatvault.progress import say, write_json
from chatvault.supervisor import state

if TYPE_CHECKING:
    from chatvault.supervisor.stages import Plan

log = logging.getLogger(__name__)

_GATEWAY_MODULES = ("uvicorn.lifespan.on", "apps.gateway.lane", "uvloop")


def serve(arguments: Sequence[str] = ()) -> int:
    """Prepares, serves until it is told to stop, and returns the exit status.

    Raises Refusal, before anything heavy is imported, when it cannot serve.
    """
    began = time.monotonic()
    _choose_roles(arguments)
    home = _make_home()
    from chatvault.settings import CHATVAULT  # which now find the secrets that were made

    roles = CHATVAULT.serving.roles
    claims = state.claim(home, roles)
    listener, url = _listen()
    say(f"starting {', '.join(roles)}; state is kept in {home}")
    set_up_django()
    plan = _plan(home, url, listener)

    from chatvault.supervisor.report import Report
    from chatvault.supervisor.supervise import Supervisor

    supervisor = Supervisor(
        plan,
        listener=listener,
        on_ready=lambda: say(f"ready at {url} after {time.monotonic() - began:.1f} s"),
        when_idle=_load_pages if listener and "web" in roles else lambda: None,
        report=Report(home, url if listener else "", roles),
    )
    try:
        return supervisor.run()
    finally:
        for claim in claims:
            os.close(claim)


def prepare(arguments: Sequence[str] = ()) -> int:
    """Checks, migrates and does the first run, then ends: for a job before a roll-out.

    Raises Refusal when something is wrong or the database does not answer.
    """
    ArgumentParser(prog="manage.py prepare", description=prepare.__doc__).parse_args(arguments)
    home = _make_home()
    from chatvault.settings import CHATVAULT
    from chatvault.supervisor import address

    address.refuse_weak_secrets(CHATVAULT.core, CHATVAULT.vault)
    set_up_django()
    set_up_state(home, address.url_at(CHATVAULT.core.host, CHATVAULT.core.port))
    say("prepared")
    return 0


def _choose_roles(arguments: Sequence[str]) -> None:
    parser = ArgumentParser(prog="manage.py serve")
    parser.add_argument("--only", metavar="ROLE,…", help="run these roles only; see docs/processes")
    chosen = parser.parse_args(arguments).only
    if chosen is not None:
        os.environ["CHATVAULT_ROLES"] = chosen or ","


def _make_home() -> Path:
    os.umask(0o077)  # state is nobody else's business
    home = home_from_environment()
    state.prepare(home)
    from chatvault.lib import logs
    from chatvault.settings import CHATVAULT

    logs.become("supervisor")
    if CHATVAULT.log.format == "json":
        write_json()
    return home


def _listen() -> tuple[socket.socket | None, str]:
    from chatvault.settings import CHATVAULT
    from chatvault.supervisor import address

    core = CHATVAULT.core
    if not CHATVAULT.serving.answers:
        return None, address.url_at(core.host, core.port)
    address.refuse_weak_secrets(core, CHATVAULT.vault)
    listener = address.listen(core.host, core.port)
    return listener, address.url_of(listener)


def _plan(home: Path, url: str, listener: socket.socket | None) -> "Plan":
    """What is started when. A database that is away holds up only those that need it."""
    from chatvault.settings import CHATVAULT
    from chatvault.supervisor import database, stages
    from chatvault.supervisor.prepare import is_prepared, until_prepared

    itself = CHATVAULT.serving.prepare_at_start
    is_done = True
    try:
        if itself:
            set_up_state(home, url)
        else:
            is_done = is_prepared()
    except database.DatabaseAway as away:
        if not CHATVAULT.is_distributed:
            raise
        say(str(away))
        is_done = False
    preload()
    database.close()
    wait = None if is_done else until_prepared(home, url, itself=itself)
    return stages.plan(listener, wait=wait, has_snapshot=(home / "snapshot.bin").exists())


def set_up_state(home: Path, url: str) -> None:
    """The first part of a start, in this process: its database connections are closed again."""
    from chatvault.supervisor import database
    from chatvault.supervisor.prepare import prepare as prepare_database

    prepare_database(home, url)
    database.close()


def set_up_django() -> None:
    import django

    from chatvault.admin_app import AdminConfig

    AdminConfig.finds_pages_at_start = False
    django.setup()


def preload() -> None:
    """Imports what the front needs, once for all its lives: a restart is a fork."""
    from chatvault.settings import CHATVAULT

    roles = CHATVAULT.serving.roles
    modules: list[str] = []
    if "gateway" in roles:
        modules += [
            *_GATEWAY_MODULES,
            "chatvault.asgi" if "web" in roles else "chatvault.asgi_gateway",
        ]
    elif "web" in roles:
        modules += [*_GATEWAY_MODULES, "chatvault.asgi_web"]
    for name in modules:
        import_module(name)
    gc.collect()
    gc.freeze()  # what is shared by fork is never looked at, so it stays shared


def _load_pages() -> None:
    """The admin's own imports, so that a restart finds them done. Whatever is wrong with a page,
    the gateway goes on serving clients."""
    try:
        import_module("chatvault.urls")
    except Exception:  # any fault of any page; the gateway must outlive it
        log.exception("the admin cannot be loaded")
        say("the admin cannot be loaded (see above); clients are served all the same")
