"""Portkey: the open-source gateway from npm, headless, without its log page."""

import json
import shutil
import time
from pathlib import Path

from benchmarks import environments, processes
from benchmarks.gateways.contract import ENV, HOME, Gateway, Running, clean_environment


class Portkey(Gateway):
    name = "portkey"
    title = "Portkey"
    likely_streams = 100
    cpu_streams = 50

    def prepare(self) -> None:
        self.folder = environments.node_environment(ENV / self.name, HOME / "portkey")
        self.package = self.folder / "node_modules/@portkey-ai/gateway"

    def start(self, log: Path) -> Running:
        node = shutil.which("node")
        assert node is not None
        port = processes.free_port()
        command: list[str | Path] = [node, "--require", HOME / "portkey/loopback.cjs"]
        command += [self.package / "build/start-server.js", "--headless", f"--port={port}"]
        env = clean_environment(NODE_ENV="production", TRUSTED_CUSTOM_HOSTS="127.0.0.1")
        with log.open("wb") as output:
            began = time.monotonic()
            process = processes.spawn(
                command, core=self.core, env=env, cwd=self.folder, stdout=output, stderr=output
            )
        processes.wait_until_ready(process, port, "/")
        headers = {
            "authorization": "Bearer none",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": self.mock,
        }
        return Running(process, port, time.monotonic() - began, headers=headers)

    def version(self) -> str:
        return str(json.loads((self.package / "package.json").read_text())["version"])
