"""What lies in deploy/, read once; and the names that the code itself uses."""

import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from pydantic import SecretStr

from chatvault.settings.section import Section, variables_of
from chatvault.settings.sections import Sections
from tests.architecture.source import ROOT

DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm/chatvault"


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text("utf-8"))
    return found


def program(path: str) -> ModuleType:
    """A program of deploy/, which is no package."""
    place = DEPLOY / path
    sys.path.insert(0, str(place.parent))
    try:
        spec = importlib.util.spec_from_file_location(f"deploy_{place.stem}", place)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(place.parent))
    return module


def variables() -> set[str]:
    """Every environment variable that the settings read, the `_FILE` twins too."""
    found: set[str] = set()
    for field in dataclasses.fields(Sections):
        section = field.default_factory
        if isinstance(section, type) and issubclass(section, Section):
            for name in section.model_fields:
                found.update(variables_of(section, name))
    return found | {f"{name}_FILE" for name in found}


def secret_variables() -> set[str]:
    """Those whose value must not be seen."""
    found: set[str] = set()
    for field in dataclasses.fields(Sections):
        section = field.default_factory
        if isinstance(section, type) and issubclass(section, Section):
            for name, about in section.model_fields.items():
                if about.annotation is SecretStr:
                    found.update(variables_of(section, name))
    return found


def texts() -> list[tuple[Path, str]]:
    """Every text file of deploy/ and the Dockerfile."""
    paths = [path for path in DEPLOY.rglob("*") if path.is_file() and not _is_made(path)]
    return [(path, path.read_text(encoding="utf-8")) for path in [*paths, ROOT / "Dockerfile"]]


def _is_made(path: Path) -> bool:
    names = {"__pycache__", "secrets"}
    return bool(names & set(path.parts)) or path.name == ".env"
