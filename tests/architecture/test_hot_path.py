"""The hot path is free of ORM, REST framework, task queue and litellm."""

import json
import subprocess
import sys

import pytest

from tests.architecture.source import ROOT, modules

HOT = (
    "apps.gateway.http",
    "apps.gateway.pipeline",
    "apps.gateway.contracts",
    "apps.gateway.body",
    "apps.gateway.gate",
    "apps.gateway.plane",
    "apps.gateway.refusals",
    "apps.gateway.metrics",
    "apps.gateway.plane_figures",
    "apps.gateway.strategies",
    "apps.gateway.breaker",
    "apps.gateway.snapshot.model",
    "apps.gateway.snapshot.store",
    "apps.gateway.snapshot.follow",
    "apps.accounts.credentials",
    "apps.accounts.key_cache",
    "apps.accounts.failures",
    "apps.billing.pricing",
    "apps.billing.limits",
    "apps.usage.journal",
)
HOT_FOLDERS = ("apps.gateway.steps.", "apps.providers.adapters.", "apps.providers.upstream.")
ON_DEMAND = "apps.providers.adapters.litellm."  # its package is hot, what it loads later is not
TOO_HEAVY = ("django", "rest_framework", "celery", "litellm", "pydantic", "requests", "httpx")

_IMPORT_AND_TELL = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def _hot_modules() -> list[str]:
    in_folders = [
        module.name
        for module in modules("apps")
        if f"{module.name}.".startswith(HOT_FOLDERS) and not module.name.startswith(ON_DEMAND)
    ]
    return sorted({*HOT, *in_folders})


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """Top-level packages that a fresh interpreter holds after importing the whole hot path."""
    command = [sys.executable, "-c", _IMPORT_AND_TELL, json.dumps(_hot_modules())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("package", TOO_HEAVY)
def test_the_hot_path_does_without(package: str, loaded: set[str]) -> None:
    assert package not in loaded


def test_the_hot_path_is_really_loaded(loaded: set[str]) -> None:
    assert {"apps", "msgspec", "httptools"} <= loaded
