"""The state folder and the secrets in it."""

import base64
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from chatvault.refusal import Refusal

_PREDECESSOR_S = 3.0  # one that was killed may still be ending
FOLDERS = ("secrets", "journal", "broker", "beat", "run")


def prepare(home: Path) -> None:
    """Makes the state folder and the secrets that nobody gave. Raises Refusal when it cannot."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in FOLDERS:
            (home / folder).mkdir(mode=0o700, exist_ok=True)
        (home / "secrets").chmod(0o700)
        _make_missing_secrets(home / "secrets")
    except OSError as error:
        raise Refusal(
            f"The state folder {home} cannot be used ({error.strerror}): make it writable for "
            "this user, or name another one in CHATVAULT_HOME."
        ) from None


def claim(home: Path, roles: Sequence[str]) -> list[int]:
    """Makes this process the only one that runs these roles from the state folder, for as long as
    the returned descriptors, which children inherit, are open anywhere. Raises Refusal when
    another runs one of them.

    Without Redis limits are counted in the gateway's memory: two servers would grant twice.
    """
    return [_claim(home, role) for role in sorted(roles)]


def _claim(home: Path, role: str) -> int:
    name = "serve.lock" if role == "gateway" else f"serve-{role}.lock"
    descriptor = os.open(home / "run" / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _PREDECESSOR_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise Refusal(
                    f"Another ChatVault serves the state folder {home}: stop it first, or name "
                    "another folder in CHATVAULT_HOME."
                ) from None
            time.sleep(0.05)


def _random_base64() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


_SECRETS: dict[str, tuple[tuple[str, ...], Callable[[], str]]] = {
    "secret_key": (("CHATVAULT_SECRET_KEY", "SECRET_KEY"), lambda: secrets.token_urlsafe(48)),
    "key_pepper": (("CHATVAULT_KEY_PEPPER",), _random_base64),
    "vault_keys": (("CHATVAULT_VAULT_KEYS",), lambda: f"k1:{_random_base64()}"),
}


def _make_missing_secrets(folder: Path) -> None:
    for name, (variables, make) in _SECRETS.items():
        given = any(os.environ.get(v) or os.environ.get(f"{v}_FILE") for v in variables)
        if not given and not (folder / name).exists():
            write_private(folder / name, make() + "\n")


def write_private(path: Path, text: str) -> None:
    """Writes a file that only this user can read; after a crash it is whole or absent."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
