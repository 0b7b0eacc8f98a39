"""The independent witness: what the fake provider really got, produced and sent, and to whom."""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SECRET_HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
_BODY_IN_FILE = 65_536


def digest(secret: str) -> str:
    """How the oracle names a secret that it saw, without keeping it."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(slots=True)
class Seen:
    """One request that reached the provider, and what became of the answer."""

    n: int
    connection: int
    method: str
    path: str
    headers: dict[str, str]
    secret_digest: str | None
    body: bytes
    at: float = field(default_factory=time.time)
    model: str = ""
    status: int = 0
    tokens: int = 0
    bytes_sent: int = 0
    events_sent: int = 0
    told: dict[str, int] = field(default_factory=dict)
    """What a model was told to claim, as it was asked to."""
    outcome: str = "open"
    """`open`, `finished`, `cut` (by the fake, on purpose) or `hung_up` (by the client)."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def request_id(self) -> str | None:
        return self.headers.get("x-request-id")

    @property
    def finished(self) -> bool:
        return self.outcome == "finished"

    @property
    def hung_up(self) -> bool:
        return self.outcome == "hung_up"

    def saw_secret(self, secret: str) -> bool:
        return self.secret_digest == digest(secret)


def mask(headers: dict[str, str]) -> tuple[dict[str, str], str | None]:
    """Headers with every credential replaced by its digest, and the digest of the first one."""
    shown, first = dict(headers), None
    for name in SECRET_HEADERS:
        if name in shown:
            found = digest(shown[name].removeprefix("Bearer "))
            shown[name] = f"sha256:{found}"
            first = first or found
    return shown, first


class Oracle:
    """Append-only: entries are added and completed, never removed while a test looks."""

    def __init__(self, file: Path | None = None) -> None:
        self.seen: list[Seen] = []
        self.problems: list[Exception] = []
        self._file = None if file is None else _open_for_append(file)

    def begin(self, entry: Seen) -> None:
        self.seen.append(entry)
        self._write("begin", entry)

    def end(self, entry: Seen, outcome: str) -> None:
        if entry.outcome != "open":
            return
        entry.outcome = outcome
        self._write("end", entry)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, event: str, entry: Seen) -> None:
        if self._file is None:
            return
        fields = asdict(entry) | {"event": event}
        fields["body"] = entry.body[:_BODY_IN_FILE].decode(errors="replace")
        os.write(self._file, json.dumps(fields).encode() + b"\n")


def _open_for_append(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def read_oracle(file: Path) -> list[Seen]:
    """The entries that another process wrote, each in its latest state, in order of arrival."""
    latest: dict[int, Seen] = {}
    for fields in _lines(file):
        fields.pop("event")
        fields["body"] = fields["body"].encode()
        latest[fields["n"]] = Seen(**fields)
    return list(latest.values())


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield json.loads(line)
