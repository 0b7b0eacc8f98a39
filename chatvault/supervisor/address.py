"""The address to listen on: who may reach us, and whether it is free."""

import errno
import ipaddress
import os
import socket

from chatvault.refusal import Refusal
from chatvault.settings.core import CoreSettings
from chatvault.settings.strength import weaknesses
from chatvault.settings.vault import VaultSettings

BACKLOG = 2048


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_weak_secrets(core: CoreSettings, vault: VaultSettings) -> None:
    """Raises Refusal when others could reach us while a secret can be guessed."""
    if is_loopback(core.host):
        return
    if weak := weaknesses(core, vault):
        raise Refusal(
            f"HOST={core.host} can be reached by others, and {weak[0]}: give strong secrets "
            "(at least 32 random bytes each), or leave HOST at 127.0.0.1."
        )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. It lives in the supervisor, so a restarted gateway loses no caller."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise Refusal(_why_not(host, port, error)) from None
    return sock


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken: stop what uses it, or choose another with PORT."
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights than this user has: choose one above 1023 with PORT."
    return f"Cannot listen on {host}:{port} ({os.strerror(error.errno or 0)}): check HOST and PORT."


def url_of(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return url_at(host, port)


def url_at(host: str, port: int) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
