"""System checks of the project. Every message has an id, and a hint that tells how to mend it."""

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks

from chatvault.settings import strength
from chatvault.settings.sections import Sections
from chatvault.supervisor import address

TAG = "chatvault"
_VOLATILE = ("tmpfs", "ramfs", "overlay")
_REMOTE = ("nfs", "nfs4", "cifs", "smb3", "9p")


@checks.register(TAG)
def secrets_are_fit(**_: Any) -> list[checks.CheckMessage]:
    """E001: a secret is malformed, or can be guessed by those who reach us. W003: not made yet."""
    core, vault = _sections().core, _sections().vault
    if not vault.keys.get_secret_value() and not vault.pepper.get_secret_value():
        text = "The secrets of this installation are not made yet."
        hint = "Run `manage.py serve` once, which makes them, or give them in the environment."
        return [checks.Warning(text, hint, id="chatvault.W003")]
    hint = "Give at least 32 random bytes; `manage.py serve` makes what is not given."
    malformed = strength.malformed(vault)
    weak = [] if address.is_loopback(core.host) else strength.weaknesses(core, vault)
    return [
        checks.Error(f"{phrase}.", hint, id="chatvault.E001")
        for phrase in dict.fromkeys([*malformed, *weak])
    ]


@checks.register(TAG)
def many_gateways_share_redis(**_: Any) -> list[checks.CheckMessage]:
    """E002: limits in the memory of several processes would let through several times as much."""
    sections = _sections()
    is_alone = sections.gateway.processes == 1 or "gateway" not in sections.serving.roles
    if is_alone or sections.redis.is_used:
        return []
    return [
        checks.Error(
            f"{sections.gateway.processes} gateway processes cannot share limits without Redis.",
            "Set REDIS_URL, or CHATVAULT_GATEWAY_PROCESSES=1.",
            id="chatvault.E002",
        )
    ]


@checks.register(TAG)
def gateway_ships_its_journal(**_: Any) -> list[checks.CheckMessage]:
    """E010: a journal lies on the node that wrote it, so nobody else could ship it."""
    roles = _sections().serving.roles
    if "gateway" not in roles or "ingest" in roles:
        return []
    return [
        checks.Error(
            "A node that runs the gateway must ship its journal too.",
            "Add `ingest` to CHATVAULT_ROLES or --only.",
            id="chatvault.E010",
        )
    ]


@checks.register(TAG)
def the_queue_has_a_broker(**_: Any) -> list[checks.CheckMessage]:
    """E013: a Redis Cluster cannot carry Celery's queue."""
    sections = _sections()
    if sections.redis.mode != "cluster" or sections.celery.broker_url.get_secret_value():
        return []
    return [
        checks.Error(
            "A Redis Cluster cannot carry the queue of background jobs.",
            "Name a broker of its own in CHATVAULT_CELERY_BROKER_URL.",
            id="chatvault.E013",
        )
    ]


@checks.register(TAG)
def debug_is_private(**_: Any) -> list[checks.CheckMessage]:
    """E003: debug pages show settings and code to whoever can reach them."""
    core = _sections().core
    if not core.debug or address.is_loopback(core.host):
        return []
    return [
        checks.Error(
            f"Debug pages would be shown to whoever reaches {core.host}.",
            "Unset CHATVAULT_DEBUG, or keep HOST at 127.0.0.1.",
            id="chatvault.E003",
        )
    ]


@checks.register(TAG)
def journal_is_on_a_disk(**_: Any) -> list[checks.CheckMessage]:
    """E004 and W001: the journal must outlive the process and be locked by one machine."""
    folder = _sections().journal_dir
    kind = _file_system(folder)
    if kind in _REMOTE:
        return [
            checks.Error(
                f"The journal in {folder} is on a network file system ({kind}).",
                "Name a folder on a local disk in CHATVAULT_JOURNAL_DIR.",
                id="chatvault.E004",
            )
        ]
    if kind in _VOLATILE:
        return [
            checks.Warning(
                f"The journal in {folder} is on {kind}: it is lost with the machine or container.",
                "Mount a volume there, or name another folder in CHATVAULT_JOURNAL_DIR.",
                id="chatvault.W001",
            )
        ]
    return []


@checks.register(TAG)
def hosts_are_named(**_: Any) -> list[checks.CheckMessage]:
    """W002: a wildcard lets any name into links and cookies."""
    if "*" not in _sections().core.allowed_hosts:
        return []
    return [
        checks.Warning(
            "CHATVAULT_ALLOWED_HOSTS accepts every host name.",
            "List the names under which the admin is reached.",
            id="chatvault.W002",
        )
    ]


@checks.register(TAG)
def https_is_told_by_somebody(**_: Any) -> list[checks.CheckMessage]:
    """W020: without a proxy that is believed, every request counts as plain and is redirected."""
    sections = _sections()
    if not sections.security.https or sections.core.trusted_proxies:
        return []
    return [
        checks.Warning(
            "Browsers shall come by HTTPS, but no proxy is believed that says so.",
            "Name the one that ends TLS in CHATVAULT_TRUSTED_PROXIES.",
            id="chatvault.W020",
        )
    ]


def _sections() -> Sections:
    sections: Sections = settings.CHATVAULT
    return sections


def _file_system(folder: Path) -> str:
    """The type of the file system that holds `folder`, as Linux names it; elsewhere empty."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return ""
    best, kind = "", ""
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        _, point, found, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        inside = os.path.commonpath([folder, point]) == point if point.startswith("/") else False
        if inside and len(point) >= len(best):
            best, kind = point, found
    return kind
