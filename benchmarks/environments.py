"""Environments of the other gateways: made by the bench from pinned files, once per pin."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def _stamp(files: Sequence[Path]) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _is_current(folder: Path, stamp: str) -> bool:
    mark = folder / "pinned"
    return mark.exists() and mark.read_text() == stamp


def _run(command: Sequence[str | Path], *, cwd: Path | None = None) -> None:
    result = subprocess.run(
        [str(part) for part in command], cwd=cwd, text=True, capture_output=True, check=False
    )
    if result.returncode:
        shown = (result.stderr or result.stdout).strip().splitlines()[-5:]
        raise SystemExit(f"bench: {command[0]} failed:\n" + "\n".join(shown))


def python_environment(folder: Path, requirements: Path) -> Path:
    """A virtual environment with exactly `requirements`; gives its bin folder."""
    stamp = _stamp([requirements])
    if not _is_current(folder, stamp):
        print(f"bench: installing {requirements.stem} into its own environment", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", folder])
        _run([folder / "bin/pip", "install", "--quiet", "--no-deps", "-r", requirements])
        (folder / "pinned").write_text(stamp)
    return folder / "bin"


def node_environment(folder: Path, manifest_folder: Path) -> Path:
    """A folder with node_modules as `package-lock.json` pins them; gives the folder."""
    manifests = [manifest_folder / name for name in ("package.json", "package-lock.json")]
    stamp = _stamp(manifests)
    if not _is_current(folder, stamp):
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit("bench: Portkey needs node and npm; leave it out with --only")
        print(f"bench: installing {manifest_folder.name} into its own environment", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for manifest in manifests:
            shutil.copy(manifest, folder)
        _run([npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder)
        (folder / "pinned").write_text(stamp)
    return folder


def python_version_of(bin_folder: Path, package: str) -> str:
    """The version of a package that is installed in the environment of `bin_folder`."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    command = [str(bin_folder / "python"), "-c", code]
    return subprocess.run(command, text=True, capture_output=True, check=True).stdout.strip()
