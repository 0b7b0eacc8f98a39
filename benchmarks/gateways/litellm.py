"""The LiteLLM proxy: one worker, no database, no master key, its request log turned down."""

import time
from pathlib import Path

from benchmarks import environments, processes
from benchmarks.gateways.contract import ALIAS, ENV, HOME, Gateway, Running, clean_environment

CONFIG = """
model_list:
  - model_name: {alias}
    litellm_params: {{model: openai/{alias}, api_base: "{mock}", api_key: none}}
general_settings: {{dangerously_permit_weak_or_unset_master_key: true}}
"""


class LiteLLM(Gateway):
    name = "litellm"
    title = "LiteLLM proxy"
    likely_streams = 10
    cpu_streams = 5

    def prepare(self) -> None:
        pins = HOME / "requirements/litellm.txt"
        self.bin = environments.python_environment(ENV / self.name, pins)

    def start(self, log: Path) -> Running:
        config = ENV / "litellm.yaml"
        config.write_text(CONFIG.format(alias=ALIAS, mock=self.mock))
        port = processes.free_port()
        command: list[str | Path] = [self.bin / "litellm", "--config", config]
        command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
        # The local cost map spares it a download that an offline machine would wait for.
        env = clean_environment(LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_LOG="ERROR")
        with log.open("wb") as output:
            began = time.monotonic()
            process = processes.spawn(
                command, core=self.core, env=env, stdout=output, stderr=output
            )
        processes.wait_until_ready(process, port, "/health/readiness")
        return Running(process, port, time.monotonic() - began)

    def version(self) -> str:
        return environments.python_version_of(self.bin, "litellm")
