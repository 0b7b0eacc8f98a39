"""Carries out the steps of a stage: RUN, COPY, ENV and WORKDIR; the rest tells how to start."""

import os
import posixpath
import shutil
from pathlib import Path

import dockerfile
from dockerfile import Instruction
from layer import BASE_PATH, Layer

# How this machine reaches its package index is not the Dockerfile's business.
_OF_THE_INDEX = ("PIP_", "UV_", "SSL_CERT_", "HTTP_PROXY", "HTTPS_PROXY", "http", "NO_PROXY")
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", "node_modules")


class Build:
    """One stage, from the project's folder and the stages before it."""

    def __init__(self, root: Path, layer: Layer, earlier: dict[str, Layer]) -> None:
        self._root = root
        self._layer = layer
        self._earlier = earlier
        self._workdir = "/"
        self._env = {"PATH": BASE_PATH, "HOME": "/root", "LANG": "C.UTF-8"}

    def run(self, stage: dockerfile.Stage) -> None:
        steps = {"RUN": self._run, "COPY": self._copy, "ENV": self._set, "WORKDIR": self._enter}
        for instruction in stage.instructions:
            if step := steps.get(instruction.word):
                step(instruction)

    def _run(self, instruction: Instruction) -> None:
        print(f"image-check:   RUN {' '.join(instruction.text.split())[:78]} …", flush=True)
        network = {k: v for k, v in os.environ.items() if k.startswith(_OF_THE_INDEX)}
        shell = ["/bin/sh", "-c", instruction.text]
        done = self._layer.run(shell, env=network | self._env, workdir=self._workdir)
        if done.returncode:
            raise SystemExit(f"image-check: the step failed with {done.returncode}")

    def _set(self, instruction: Instruction) -> None:
        for name, value in dockerfile.assignments(instruction).items():
            self._env[name] = dockerfile.expand(value, self._env)

    def _enter(self, instruction: Instruction) -> None:
        self._workdir = posixpath.join(self._workdir, instruction.text)
        (self._layer.upper / self._workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _copy(self, instruction: Instruction) -> None:
        *sources, target = instruction.words
        is_folder = target.endswith("/") or len(sources) > 1
        place = self._layer.upper / posixpath.join(self._workdir, target).lstrip("/")
        origin = instruction.flags.get("from")
        for source in sources:
            path = (self._earlier[origin].upper if origin else self._root) / source.lstrip("/")
            if path.is_dir():
                shutil.copytree(
                    path,
                    place,
                    symlinks=True,
                    dirs_exist_ok=True,
                    ignore=None if origin else _IGNORED,
                )
                continue
            to = place / path.name if is_folder else place
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, to, follow_symlinks=False)
