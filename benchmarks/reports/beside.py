"""Somebody who looks at reports all the time, in a process of their own as in production.

`python -m benchmarks.reports.beside`: asks until its input ends, then tells how long each took.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from typing import Any

_PAUSE_S = 0.1


class Reader:
    """`times` are there after the `with`, in seconds."""

    def __enter__(self) -> Reader:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.reports.beside"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it begins to ask
        return self

    def __exit__(self, *_: object) -> None:
        told, _ = self._process.communicate()
        self.times: list[float] = json.loads(told)


def main() -> None:
    import django

    django.setup()
    from apps.usage.reports.summary import summary
    from benchmarks.reports.summaries import queries

    asked: list[Any] = list(queries().values())
    chosen, stop = random.Random(1), threading.Event()
    summary(asked[0])
    print("ready", flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    times = []
    while not stop.is_set():
        began = time.perf_counter()
        summary(chosen.choice(asked))
        times.append(time.perf_counter() - began)
        stop.wait(_PAUSE_S)
    print(json.dumps(times))


if __name__ == "__main__":
    main()
