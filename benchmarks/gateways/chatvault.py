"""ChatVault as `make run` starts it, all its processes on one core, with everything on.

The client has a key, request, token and concurrency quotas, a monthly budget and a price, and the
journal and metrics are on, as they always are. The ceilings are high enough never to refuse.
"""

import secrets
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

from benchmarks import processes
from benchmarks.gateways.contract import ALIAS, ENV, Gateway, Running, clean_environment

ROOT = Path(__file__).parents[2]

DOCUMENT = """
version: 1
providers:
  - name: bench
    family: openai
    base_url: {mock}
    credentials: [{{name: main, secret: "env:CHATVAULT_BENCH_UPSTREAM"}}]
deployments:
  - {{name: {alias}@bench, provider: bench, credential: main, model: {alias}}}
aliases:
  - {{name: {alias}, strategy: weighted, targets: [{{deployment: {alias}@bench, weight: 1}}]}}
price_books:
  - name: bench
    prices: [{{model: {alias}, input: "0.15", cached_input: "0.075", output: "0.60"}}]
pricing_tiers: [{{name: bench, price_book: bench, markup_percent: "0"}}]
teams: [{{name: bench}}]
clients:
  - name: bench
    team: bench
    tier: bench
    aliases: [{alias}]
    keys: [{{name: bench, secret: "env:CHATVAULT_BENCH_KEY"}}]
    quotas:
      - {{unit: requests, window_s: 60, ceiling: 1000000000}}
      - {{unit: tokens, window_s: 60, ceiling: 1000000000000}}
      - {{unit: concurrency, window_s: 60, ceiling: 1000000}}
    budgets: [{{amount_usd: "1000000", period: month}}]
"""


class ChatVault(Gateway):
    name = "chatvault"
    title = "ChatVault"
    likely_streams = 800
    cpu_streams = 100

    def __init__(self, mock_port: int, core: int, other_core: int) -> None:
        super().__init__(mock_port, core, other_core)
        self.home = ENV / f"{self.name}-home"
        self.key = secrets.token_urlsafe(32)  # given, not issued: no prefix, no checksum
        self.is_set_up = False

    def prepare(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)

    def _environment(self, port: int) -> dict[str, str]:
        return clean_environment(
            CHATVAULT_HOME=str(self.home),
            CHATVAULT_PRIVATE_HOSTS=f"127.0.0.1:{self.mock_port}",
            CHATVAULT_BENCH_UPSTREAM="none",
            CHATVAULT_BENCH_KEY=self.key,
            HOST="127.0.0.1",
            PORT=str(port),
        )

    def _command(self) -> list[str]:
        return [sys.executable, "manage.py", "serve"]

    def start(self, log: Path) -> Running:
        port = processes.free_port()
        env = self._environment(port)
        with log.open("ab") as output:
            began = time.monotonic()
            process = processes.spawn(
                self._command(),
                core=self.core,
                env=env,
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )
        try:
            processes.wait_until_ready(process, port, "/readyz")
            ready_s = time.monotonic() - began
            if is_first := not self.is_set_up:
                self._apply(env)
                self.is_set_up = True
        except BaseException:
            processes.stop(process)
            raise
        headers = {"authorization": f"Bearer {self.key}"}
        figure = "first_ready_s" if is_first else "ready_s"
        return Running(process, port, ready_s, figure, headers=headers)

    def _apply(self, env: dict[str, str]) -> None:
        document = self.home / "bench.yaml"
        document.write_text(DOCUMENT.format(mock=self.mock, alias=ALIAS))
        command = [sys.executable, "manage.py", "config", "apply", str(document)]
        result = subprocess.run(
            command, cwd=ROOT, env=env, text=True, capture_output=True, check=False
        )
        if result.returncode:
            said = (result.stderr or result.stdout).strip().splitlines()
            raise RuntimeError(f"config apply failed: {' / '.join(said[-3:])}")

    def version(self) -> str:
        declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        command = ["git", "rev-parse", "--short", "HEAD"]
        found = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
        revision = found.stdout.strip()
        return f"{declared} ({revision})" if revision else str(declared)
