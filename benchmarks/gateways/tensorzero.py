"""TensorZero: the HTTP gateway inside its PyPI package, observability off."""

import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import environments, processes
from benchmarks.gateways.contract import ALIAS, ENV, HOME, Gateway, Running, clean_environment

CONFIG = """
[gateway]
observability.enabled = false

[models."{alias}"]
routing = ["mock"]

[models."{alias}".providers.mock]
type = "openai"
model_name = "{alias}"
api_base = "{mock}"
api_key_location = "none"
"""

# The package has no command; this is how its own OpenAI patch starts the gateway.
LAUNCH = """
import signal, sys
from tensorzero import _start_http_gateway
gateway = _start_http_gateway(config_file=sys.argv[1], clickhouse_url=None, postgres_url=None,
                              valkey_url=None, async_setup=False)
print(gateway.base_url, flush=True)
signal.pause()
"""


class TensorZero(Gateway):
    name = "tensorzero"
    title = "TensorZero"
    likely_streams = 500
    cpu_streams = 100

    def prepare(self) -> None:
        pins = HOME / "requirements/tensorzero.txt"
        self.bin = environments.python_environment(ENV / self.name, pins)

    def start(self, log: Path) -> Running:
        config = ENV / "tensorzero.toml"
        config.write_text(CONFIG.format(alias=ALIAS, mock=self.mock))
        with log.open("wb") as errors:
            began = time.monotonic()
            process = processes.spawn(
                [self.bin / "python", "-c", LAUNCH, config],
                core=self.core,
                env=clean_environment(),
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        assert process.stdout is not None
        base_url = ""
        for line in process.stdout:
            if line.startswith(b"http://"):
                base_url = line.decode().strip()
                break
        url = urlsplit(base_url)
        if not url.port:
            raise RuntimeError("ended before it printed its address")
        # The gateway inside the package has no health path: any answer shows that it serves.
        processes.wait_until_ready(process, url.port, "/", status=b"")
        return Running(
            process,
            url.port,
            time.monotonic() - began,
            path=f"{url.path}/chat/completions",
            model=f"tensorzero::model_name::{ALIAS}",
        )

    def version(self) -> str:
        return environments.python_version_of(self.bin, "tensorzero")
