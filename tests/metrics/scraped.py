"""A real ChatVault under some real traffic, and a real Prometheus that scrapes it."""

import contextlib
import itertools
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import yaml

from scripts.write_monitoring import ROOT
from tests.metrics.rules import FOLDER
from tests.run.tree import Tree, environment

TOKEN = "a-token-for-tests-0123456789"
_DOCUMENT = """
version: 1
providers:
  - name: dead
    family: openai
    base_url: "http://127.0.0.1:9/v1"
    credentials: [{name: main, secret: "env:DEAD"}]
deployments:
  - {name: model@dead, provider: dead, credential: main, model: model}
aliases:
  - {name: broken, strategy: ordered, targets: [{deployment: model@dead}]}
  - {name: saved, strategy: ordered, targets: [{deployment: model@dead}, {deployment: demo@demo}]}
price_books:
  - {name: list, prices: [{model: model, input: "1", output: "2"}]}
teams: [{name: home}]
clients:
  - name: tried
    team: home
    tier: standard
    aliases: "*"
    keys: [{name: ci, secret: "env:TRIED_KEY"}]
    quotas: [{unit: requests, ceiling: 100000}, {unit: tokens, ceiling: 100000000}]
    budgets: [{amount_usd: "10", period: month}]
  - name: held
    team: home
    tier: standard
    aliases: "*"
    keys: [{name: ci, secret: "env:HELD_KEY"}]
    quotas: [{unit: requests, window_s: 3600, ceiling: 1}]
"""
KEY, HELD_KEY = "sk-for-tests-only-0123456789", "sk-for-tests-held-0123456789"
_ASKED = (
    ("demo", False, KEY), ("demo", True, KEY), ("saved", False, KEY), ("broken", False, KEY),
    ("nothing", False, KEY), ("demo", False, "cv_wrong"), ("demo", False, HELD_KEY),
)  # fmt: skip


def settings(valkey_url: str) -> dict[str, str]:
    return {
        "REDIS_URL": valkey_url,
        "CHATVAULT_GATEWAY_PROCESSES": "2",
        "CHATVAULT_PRIVATE_HOSTS": "127.0.0.1",
        "CHATVAULT_METRICS_TOKEN": TOKEN,
        "DEAD": "sk-nobody",
    }


def set_up(home: Path, more: dict[str, str]) -> None:
    """Providers that fail, and a check of the ledger for a worker to do."""
    work = (
        "import chatvault.celery; from django.core.management import call_command\n"
        "call_command('config', 'apply', '-')\n"
        "from apps.providers.tasks import probe_deployments; probe_deployments.delay()\n"
        "from apps.usage.tasks import verify_ledger; verify_ledger.delay()"
    )
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", work],
        cwd=ROOT,
        env=environment(home, TRIED_KEY=KEY, HELD_KEY=HELD_KEY, **more),
        input=_DOCUMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def traffic(url: str) -> Iterator[None]:
    """Requests of every kind, one after the other, for as long as the block runs."""
    is_over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=url, trust_env=False, timeout=10) as http:
            for number, (model, stream, key) in enumerate(itertools.cycle(_ASKED)):
                if is_over.wait(0.02):
                    return
                body = {"model": model, "stream": stream, "messages": [_HELLO]}
                with contextlib.suppress(httpx.TransportError):  # a killed gateway
                    http.post("/v1/chat/completions", json=body, headers={"x-api-key": key})
                    if number % 20 == 0:
                        http.get("/admin/login/")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


_HELLO = {"role": "user", "content": "Say something about sand, please."}


class Prometheus:
    """One server with the project's own configuration, but for targets and intervals."""

    def __init__(self, folder: Path, tree: Tree) -> None:
        self._folder = folder
        self._address = f"127.0.0.1:{_free_port()}"
        self.target = tree.state()["url"] + "/metrics"
        target = urllib.parse.urlsplit(self.target).netloc
        config = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(FOLDER / pattern) for pattern in config["rule_files"]]
        config["scrape_configs"] = [
            {
                "job_name": "chatvault-gateway",
                "authorization": {"credentials": TOKEN},
                "static_configs": [{"targets": [target]}],
            }
        ]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")

    def __enter__(self) -> "Prometheus":
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address={self._address}",
                ],
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query."""
        answer = self._get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        return answer["data"]["result"] if answer["data"]["resultType"] == "vector" else [{}]

    def rules(self) -> list[dict[str, Any]]:
        groups = self._get("/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def wait_for(self, expression: str, timeout_s: float) -> None:
        """Until the query has a result."""
        deadline = time.monotonic() + timeout_s
        while True:
            with contextlib.suppress(OSError):
                if self.query(expression):
                    return
            assert self._process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def log(self) -> str:
        return (self._folder / "log").read_text(encoding="utf-8")

    def _get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://{self._address}{path}", timeout=10) as answer:
            return dict(json.load(answer))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
