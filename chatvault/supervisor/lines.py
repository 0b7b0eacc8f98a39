"""What the children print, line by line: with the child's name in front for people, and as JSON,
untouched where it is JSON already, for machines. Nothing that looks like a secret passes."""

import msgspec
from django.conf import settings

from chatvault.lib import clock
from chatvault.lib.logs import line_of
from chatvault.lib.redact import mask

MOST_BYTES = 64 * 1024
_OWN = "chatvault: "  # what `say` tells, such as the key that the first run makes


class Lines:
    """The output of one child. A line is told when it is whole, or too long to wait for."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._as_json = settings.CHATVAULT.log.format == "json"
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Lines that are whole now; with no data the child has ended, and the rest is one."""
        *whole, rest = (self._rest + data).split(b"\n")
        if len(rest) > MOST_BYTES or not data:
            whole.append(rest)
            rest = b""
        self._rest = rest
        texts = (line.decode(errors="replace").rstrip() for line in whole)
        return [self._told(text) for text in texts if text.strip()]

    def _told(self, text: str) -> str:
        if not self._as_json:
            said = text if text.startswith(_OWN) else mask(text)
            return f"{self._name:<8} | {said}"
        if text.startswith('{"time":') and _is_json(text):
            return text
        return line_of(mask(text), role=self._name, seconds=clock.wall_s())


def _is_json(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except msgspec.DecodeError:
        return False
