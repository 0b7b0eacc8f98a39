"""What the supervisor says about itself: `run/serve.json` in the state folder."""

import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from chatvault.supervisor.child import Child
from chatvault.supervisor.state import write_private


class Report:
    """Written at every change, whole or not at all. A node that runs some roles only has a file
    of its own beside others': `serve-<roles>.json`, or `serve.json` where the gateway is."""

    def __init__(self, home: Path, url: str, roles: Sequence[str]) -> None:
        name = "serve.json" if "gateway" in roles else f"serve-{'-'.join(sorted(roles))}.json"
        self._path = home / "run" / name
        self._url = url
        self._roles = list(roles)

    def write(self, children: Iterable[Child], leaving: Iterable[Child]) -> None:
        """`children` by name, and all processes, those that only finish what they began too."""
        children, leaving = list(children), list(leaving)
        content = {
            "url": self._url,
            "supervisor": os.getpid(),
            "roles": self._roles,
            "children": {child.name: child.pid for child in children if child.alive},
            "processes": [
                *[_line(child, child.state) for child in children if child not in leaving],
                *[_line(child, "draining") for child in leaving],
            ],
        }
        write_private(self._path, json.dumps(content, indent=2) + "\n")


def _line(child: Child, state: str) -> dict[str, Any]:
    line: dict[str, Any] = {"name": child.name, "state": state}
    if child.alive:
        since_s = time.monotonic() - child.started
        line |= {"pid": child.pid, "since": round(time.time() - since_s, 3)}
    if child.deaths:
        line["deaths_in_a_row"] = child.deaths
        line["last_exit"] = child.last_exit
    return line
