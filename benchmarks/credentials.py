"""A key and a JWT of the same client, turn about in one running gateway."""

import json
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.figures import median
from benchmarks.native import Load
from benchmarks.parts import MANY, Figures, Scale, Target

CLIENT = "bench"
TURNS = 6
_PATIENCE_S = 10.0


def obtain(port: int, home: Path) -> str:
    """An access token of the administrator that the first run made."""
    told: dict[str, Any] = json.loads((home / "first-run.json").read_text())
    body = {**told["admin"], "client": CLIENT, "scopes": ["inference"]}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/auth/token",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:
        return str(json.load(answer)["access"])


def compare(target: Target, scale: Scale, token: str) -> Figures:
    """Requests/s and CPU per request of both, and the median of the ratios of neighbours."""
    both = {
        "key": target,
        "jwt": replace(target, headers={**target.headers, "authorization": f"Bearer {token}"}),
    }
    rates: dict[str, list[float]] = {name: [] for name in both}
    cpu_us: dict[str, list[float]] = {name: [] for name in both}
    for turn in range(TURNS + 1):  # the first one warms up
        for name in sorted(both, reverse=bool(turn % 2)):
            cpu_before = target.front_cpu_s()
            result = both[name].send(Load(MANY, scale.seconds))
            target.note(result, f"with a {name}")
            if turn and result.good:
                rates[name].append(result.good / result.wall_s)
                cpu_us[name].append((target.front_cpu_s() - cpu_before) / result.good * 1e6)
            time.sleep(0.2)
    pairs = zip(rates["jwt"], rates["key"], strict=True)
    found = {
        "key_rps_32": median(rates["key"]),
        "jwt_rps_32": median(rates["jwt"]),
        "jwt_to_key_rps": median([jwt / key for jwt, key in pairs]),
        "key_cpu_us_32": median(cpu_us["key"]),
        "jwt_cpu_us_32": median(cpu_us["jwt"]),
    }
    return {name: value for name, value in found.items() if value is not None}
