"""What is installed is exactly what was chosen."""

import re
from importlib.metadata import files

import pytest

from tests.architecture.source import ROOT

LOCKED = ("requirements.txt", "requirements-dev.txt", "requirements-bootstrap.txt")
MALICIOUS_LITELLM = {"1.82.7", "1.82.8"}


def _pins(name: str) -> list[tuple[str, str]]:
    """Each requirement with all that belongs to it, in the lines that follow."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(r"^([A-Za-z0-9][^\s=]*)==(.*(?:\n +.*)*)", text, re.MULTILINE)


@pytest.mark.parametrize("name", LOCKED)
def test_every_requirement_is_pinned_by_hash(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    starts = [line for line in lines if line and not line.startswith((" ", "#"))]
    pins = _pins(name)
    assert len(pins) == len(starts)
    assert [package for package, rest in pins if "--hash=sha256:" not in rest] == []


@pytest.mark.parametrize("name", LOCKED)
def test_no_index_is_named(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"^--|https?://", text, re.MULTILINE)


def test_litellm_is_not_one_of_the_malicious_uploads() -> None:
    version = dict(_pins("requirements.txt"))["litellm"].split()[0]
    assert version not in MALICIOUS_LITELLM
    wanted = (ROOT / "requirements.in").read_text(encoding="utf-8")
    assert all(f"!={bad}" in wanted for bad in MALICIOUS_LITELLM)


def test_litellm_brings_nothing_that_runs_by_itself() -> None:
    assert [str(file) for file in files("litellm") or () if file.suffix == ".pth"] == []
