"""Whether this container does what its roles promise. Exits 0 when it does; needs no package.

A container that answers requests is asked for /readyz; one that works in the background must
have a living process for each role.
"""

import http.client
import json
import os
import sys
from pathlib import Path

_SERVING = {"gateway", "web"}
_TIMEOUT_S = 3.0


def main() -> str:
    """What is wrong, as one line; empty when nothing is."""
    roles = {role for role in os.environ.get("CHATVAULT_ROLES", "").split(",") if role.strip()}
    if not roles or roles & _SERVING:
        return _readiness(int(os.environ.get("PORT") or 8000))
    return _processes(Path(os.environ.get("CHATVAULT_HOME") or "var"), roles)


def _readiness(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz", headers={"Host": "localhost"})
        answer = connection.getresponse()
        return "" if answer.status == 200 else f"/readyz answers {answer.status}"
    except OSError as error:
        return f"/readyz does not answer: {error}"
    finally:
        connection.close()


def _processes(home: Path, roles: set[str]) -> str:
    """The supervisor writes who runs to `run/serve-<roles>.json`."""
    living: set[str] = set()
    for report in (home / "run").glob("serve*.json"):
        children = json.loads(report.read_text("utf-8")).get("children", {})
        living |= {name for name, pid in children.items() if Path(f"/proc/{pid}").exists()}
    missing = sorted(roles - living)
    return f"not running: {', '.join(missing)}" if missing else ""


if __name__ == "__main__":
    sys.exit(main() or None)
