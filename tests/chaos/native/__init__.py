"""A small C library between ChatVault and its disk; `disk.c` says what it does."""

import shutil
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("disk.c")


class Disk:
    """What the library of one site is told and tells, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "disk"
        self._folder.mkdir(exist_ok=True)

    def settings(self) -> dict[str, str]:
        """For the environment of the processes whose disk it is."""
        return {"LD_PRELOAD": str(_built(self._folder)), "CHAOS_DISK": str(self._folder)}

    def be(self, name: str, *, on: bool) -> None:
        """`full`, or `short`: from now on, or no longer."""
        if on:
            (self._folder / name).touch()
        else:
            (self._folder / name).unlink(missing_ok=True)

    def cut_power(self, journal: Path) -> tuple[int, int]:
        """Leave of a dead node's journal what was forced to disk; returns how many bytes and how
        many files are gone."""
        sizes, names = self._synced()
        bytes_gone = files_gone = 0
        for path in [*journal.glob("*.cvj"), *journal.glob("*.new")]:
            before = path.stat().st_size
            if path.suffix == ".new" or str(path) not in names:
                path.unlink()
                files_gone += 1
                bytes_gone += before
                continue
            kept = min(before, sizes.get(path.name, 0))
            with path.open("r+b") as file:
                file.truncate(kept)
            bytes_gone += before - kept
        return bytes_gone, files_gone

    def _synced(self) -> tuple[dict[str, int], set[str]]:
        """Safe sizes by name, and the paths whose names are safe."""
        sizes: dict[str, int] = {}
        names: set[str] = set()
        for line in (self._folder / "synced").read_text().splitlines():
            kind, _, rest = line.partition(" ")
            if kind == "N":
                names.add(rest)
                continue
            path, _, size = rest.rpartition(" ")
            sizes[Path(path).name] = max(int(size), sizes.get(Path(path).name, 0))
        return sizes, names


def _built(folder: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SystemExit("chaos: needs a C compiler (cc or gcc) for its broken disk")
    library = folder / "disk.so"
    if not library.exists():
        command = [compiler, "-O2", "-Wall", "-shared", "-fPIC", "-o", str(library), str(_SOURCE)]
        subprocess.run([*command, "-ldl"], check=True)
    return library
