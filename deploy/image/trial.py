"""Starts the image as its own user: no network, read-only root, no capabilities, no environment
but the required secrets; then asks what its HEALTHCHECK asks."""

import base64
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import dockerfile
from layer import Layer

_PATIENCE_S = 90.0


class Trial:
    """One start of the final stage, as `docker run --read-only --tmpfs /tmp` would do it."""

    def __init__(self, layer: Layer, stage: dockerfile.Stage, folder: Path) -> None:
        self._layer = layer
        self._user = stage.last("USER").text
        self._workdir = stage.last("WORKDIR").text
        self._env: dict[str, str] = {}
        for instruction in stage.all("ENV"):
            for name, value in dockerfile.assignments(instruction).items():
                self._env[name] = dockerfile.expand(value, self._env)
        self._start = [*stage.last("ENTRYPOINT").words, *stage.last("CMD").words]
        check = stage.last("HEALTHCHECK").text
        self._check = dockerfile.Instruction("CMD", {}, check.removeprefix("CMD").strip()).words
        self._state = folder / "state"

    def findings(self) -> list[str]:
        """One line for each thing that is wrong."""
        uid, _, gid = self._user.partition(":")
        if not uid.isdigit() or int(uid) < 1000:
            return [f"USER {self._user} is not an unprivileged number"]
        self._state.mkdir(mode=0o700)
        os.chown(self._state, int(uid), int(gid or uid))
        process = self._launch()
        try:
            return [*self._answers(process), *self._stops(process)]
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _launch(self) -> subprocess.Popen[str]:
        given = {
            "CHATVAULT_SECRET_KEY": secrets.token_urlsafe(48),
            "CHATVAULT_KEY_PEPPER": _random_base64(),
            "CHATVAULT_VAULT_KEYS": f"k1:{_random_base64()}",
        }
        words = self._layer.command(
            self._start,
            env=self._env | given,
            workdir=self._workdir,
            user=self._user,
            is_sealed=True,
            volumes={"/state": self._state},
        )
        log = (self._state.parent / "log").open("w")
        return subprocess.Popen(words, stdout=log, stderr=log, text=True)

    def _answers(self, process: subprocess.Popen[str]) -> Iterator[str]:
        began = time.monotonic()
        while time.monotonic() - began < _PATIENCE_S and process.poll() is None:
            if self._inside(process, self._check).returncode == 0:
                print(f"image-check: healthy after {time.monotonic() - began:.1f} s")
                yield from self._identity(process)
                return
            time.sleep(0.5)
        yield f"it did not become healthy:\n{(self._state.parent / 'log').read_text()}"

    def _identity(self, process: subprocess.Popen[str]) -> Iterator[str]:
        """Inside: who it is, and whether it can write where it should not."""
        places = "*(os.access(place, os.W_OK) for place in ('/app', '/state'))"
        probe = f"import os; print(os.getuid(), {places})"
        told = self._inside(process, ["python", "-c", probe]).stdout.split()
        if told != [self._user.partition(":")[0], "False", "True"]:
            yield f"user, write access to /app and to /state are {told}"
        first = self._inside(process, ["python", "manage.py", "verify_ledger"])
        if first.returncode:
            yield f"verify_ledger fails: {first.stdout}{first.stderr}"

    def _inside(
        self, process: subprocess.Popen[str], command: list[str]
    ) -> subprocess.CompletedProcess[str]:
        """As `docker exec` does. `unshare --fork` has one child: the first process inside."""
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if not children:
            return subprocess.CompletedProcess(command, 1, "", "")
        uid, _, gid = self._user.partition(":")
        enter = ["nsenter", "-t", children[0], "--all", "--root", "--wd"]
        pairs = [f"{name}={value}" for name, value in self._env.items()]
        drop = ["setpriv", "--reuid", uid, "--regid", gid or uid, "--clear-groups"]
        words = [*enter, *drop, "env", "-i", *pairs, *command]
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    def _stops(self, process: subprocess.Popen[str]) -> Iterator[str]:
        """SIGTERM to the first process inside, as an engine sends it, ends it with 0."""
        if process.poll() is not None:
            return
        first = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
        began = time.monotonic()
        os.kill(int(first), 15)
        status = process.wait(60)
        print(f"image-check: stopped with {status} after {time.monotonic() - began:.1f} s")
        if status:
            yield f"SIGTERM ended it with {status}"


def _random_base64() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()
