"""What may and may not lie in the image's own files."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

SIZE_LIMIT_MIB = 700
_APP = ("app", "venv")
# Tools that build or install: none of them has a place where clients' requests are served.
_TOOLS = re.compile(r"^(pip|pip3.*|uv|uvx|setuptools|wheel|gcc|cc|make|ld|git|node|npm)$")
_SECRETS = re.compile(
    rb"-----BEGIN (?:RSA |EC |OPENSSH )?PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}"
    rb"|\bcv_[A-Za-z0-9_-]{40,}|\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{32,}|\bAKIA[A-Z2-7]{16}\b"
)
_NAMES_OF_SECRETS = re.compile(
    r"(^\.env($|\.))|\.sqlite3$|^id_(rsa|ed25519)$|\.(p12|pfx)$|^first-run\.json$|^\.git$|^\.netrc$"
)
_FOREIGN = ("tests", "benchmarks", "docs", "deploy", "sdk", ".ci", "Makefile", "requirements.txt")


class Inspection:
    """Looks at what the stages have written, file by file."""

    def __init__(self, upper: Path, not_ours: set[Path]) -> None:
        self._upper = upper
        self._not_ours = not_ours

    def findings(self) -> list[str]:
        """One line for each thing that is wrong; prints the sizes."""
        self._print_sizes()
        return [*self._owners(), *self._contents(), *self._strangers()]

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for folder, folders, names in os.walk(self._upper):
            for name in (*names, *folders):
                path = Path(folder, name)
                if path.relative_to(self._upper) not in self._not_ours:
                    yield path, path.lstat()

    def _print_sizes(self) -> None:
        for name in _APP:
            print(f"image-check: /{name}: {self._mib(self._upper / name)} MiB")

    def _mib(self, folder: Path) -> int:
        sizes = (
            Path(at, name).lstat().st_size for at, _, names in os.walk(folder) for name in names
        )
        return sum(sizes) // 2**20

    def _owners(self) -> Iterator[str]:
        """The service's user may read all and write nothing but its state."""
        for path, about in self._files():
            name = path.relative_to(self._upper)
            if stat.S_ISLNK(about.st_mode) or name.parts[0] not in _APP:
                continue
            if about.st_uid != 0 or about.st_mode & 0o022:
                yield f"/{name} can be changed by the service's user"
            if not about.st_mode & stat.S_IROTH:
                yield f"/{name} cannot be read by the service's user"
            if about.st_mode & (stat.S_ISUID | stat.S_ISGID):
                yield f"/{name} is set-uid or set-gid"

    def _contents(self) -> Iterator[str]:
        site = next((self._upper / "venv/lib").glob("python3*")) / "site-packages"
        yield from (f"{path.name} runs by itself" for path in site.glob("*.pth"))
        yield from (
            f"/{path.relative_to(self._upper)} is a tool of the build"
            for folder in (self._upper / "venv/bin", site)
            for path in folder.iterdir()
            if _TOOLS.match(path.name)
        )
        for path, about in self._files():
            name = path.relative_to(self._upper)
            if _NAMES_OF_SECRETS.search(path.name) and site not in path.parents:
                yield f"/{name} may hold secrets"
            elif name.parts[0] == "app" and _is_text(about) and _SECRETS.search(path.read_bytes()):
                yield f"/{name} holds something that looks like a secret"

    def _strangers(self) -> Iterator[str]:
        yield from (
            f"/app/{name} is not needed to run"
            for name in _FOREIGN
            if (self._upper / "app" / name).exists()
        )
        whole = sum(self._mib(self._upper / name) for name in _APP)
        if whole > SIZE_LIMIT_MIB:
            yield f"the image's own files are {whole} MiB, more than {SIZE_LIMIT_MIB}"


def _is_text(about: os.stat_result) -> bool:
    return stat.S_ISREG(about.st_mode) and about.st_size < 2**21
