"""A stage's file system without a container engine: an overlay over this machine's own root.

What a stage writes lands in `upper`; the machine below is never changed. It stands for the base
image, so it must have the Python that the Dockerfile names.
"""

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

# Folders of a plain Linux; whatever else the machine has is not in the base image.
_OF_THE_BASE = frozenset(
    {"bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "media"}
) | {"mnt", "opt", "proc", "run", "sbin", "sys", "usr", "var"}
_EMPTIED = ("boot", "media", "mnt", "opt", "run", "var/tmp")
BASE_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


class Layer:
    """One stage. `python` is the interpreter of the machine that the base image would bring."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.upper = folder / "upper"
        self._work = folder / "work"
        self._merged = folder / "merged"
        for path in (self.upper, self._work, self._merged):
            path.mkdir(parents=True)
        self.upper.chmod(0o755)
        link = self.upper / "usr/local/bin/python"
        link.parent.mkdir(parents=True)
        link.symlink_to(python)
        self.made_by_us = {Path("usr/local/bin/python")}

    def run(
        self,
        command: Sequence[str],
        *,
        env: dict[str, str],
        workdir: str,
        user: str = "0:0",
        is_sealed: bool = False,
        volumes: dict[str, Path] | None = None,
        timeout_s: float = 1200.0,
        **options: object,
    ) -> subprocess.CompletedProcess[str]:
        """Runs it inside. Sealed: no network but loopback, read-only root, no capability."""
        words = self.command(
            command, env=env, workdir=workdir, user=user, is_sealed=is_sealed, volumes=volumes
        )
        return subprocess.run(words, text=True, timeout=timeout_s, check=False, **options)  # type: ignore[call-overload,no-any-return]

    def command(
        self,
        command: Sequence[str],
        *,
        env: dict[str, str],
        workdir: str,
        user: str,
        is_sealed: bool,
        volumes: dict[str, Path] | None = None,
    ) -> list[str]:
        """The words that run `command` inside, for subprocess."""
        namespaces = ["--mount", "--pid", "--fork", "--kill-child"]
        namespaces += ["--net", "--ipc"] if is_sealed else []
        pairs = [f"{name}={value}" for name, value in env.items()]
        uid, _, gid = user.partition(":")
        drop = ["setpriv", "--reuid", uid, "--regid", gid, "--clear-groups"]
        drop += ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"] if is_sealed else []
        inner = ["env", "-i", *pairs, "sh", "-c", f'cd {shlex.quote(workdir)} && exec "$@"', "sh"]
        script = self._mounts(is_sealed=is_sealed, volumes=volumes or {})
        enter = ["chroot", str(self._merged), *drop, *inner, *command]
        return ["unshare", *namespaces, "sh", "-ec", f"{script}\nexec {shlex.join(enter)}"]

    def _mounts(self, *, is_sealed: bool, volumes: dict[str, Path]) -> str:
        root = shlex.quote(str(self._merged))
        layers = f"lowerdir=/,upperdir={self.upper},workdir={self._work}"
        lines = [f"mount -t overlay overlay -o {shlex.quote(layers)} {root}"]
        hidden = [name for name in _strangers() if not (self.upper / name).exists()]
        lines += [f"mount -t tmpfs -o mode=0755 tmpfs {root}/{name}" for name in hidden]
        lines += [
            f"mount --bind {shlex.quote(str(path))} {root}{at}" for at, path in volumes.items()
        ]
        lines += [
            f"mount -o remount,ro {root}" if is_sealed else ":",
            f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp",
            f"mount -t proc proc {root}/proc",
            f"mount --rbind /dev {root}/dev",
        ]
        return "\n".join([*lines, "ip link set lo up" if is_sealed else ":"])


def _strangers() -> list[str]:
    """What must not be seen inside: the checkout may lie there, and settings of its owner."""
    top = [name for name in os.listdir("/") if Path("/", name).is_dir()]
    strange = [name for name in top if name not in _OF_THE_BASE and name != "tmp"]
    return [*strange, *(name for name in _EMPTIED if Path("/", name).is_dir())]
