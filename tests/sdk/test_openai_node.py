"""The official openai package for Node against the gateway; it is installed at the first run."""

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "node"
INSTALLED = FOLDER / "node_modules" / "openai" / "package.json"
FAMILIES = ("openai", "anthropic", "gemini")


@pytest.fixture(scope="session")
def node() -> str:
    """The node executable, with the pinned package beside the scenarios."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found is None or npm is None:
        pytest.skip("there is no node or no npm on this machine")
    wanted = json.loads((FOLDER / "package.json").read_text())["dependencies"]["openai"]
    with (FOLDER / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes share the folder
        if not _is_installed(wanted):
            made = subprocess.run(
                [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            if made.returncode:
                pytest.skip(f"npm cannot install the openai package: {made.stderr[-300:]}")
    return found


def _is_installed(version: str) -> bool:
    return INSTALLED.exists() and json.loads(INSTALLED.read_text())["version"] == version


@pytest.fixture
def result(node, gateway, upstream) -> dict[str, Any]:
    gateway.add_model("openai", upstream.openai_url)
    gateway.add_model("anthropic", upstream.anthropic_url, family="anthropic")
    gateway.add_model("gemini", upstream.gemini_url, family="gemini")
    gateway.add_model("embedder", upstream.openai_url, model="text-embedding-3-small")
    gateway.add_model("limited", upstream.openai_url, model="fault:429-retry-after-3")
    gateway.add_model("broken", upstream.openai_url, model="fault:eof-after-2")
    surroundings = {"BASE_URL": gateway.openai_url, "API_KEY": gateway.add_client()}
    run = subprocess.run(
        [node, "scenarios.mjs"], cwd=FOLDER, capture_output=True, text=True, timeout=60,
        env={"PATH": os.environ["PATH"]} | surroundings, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    told: dict[str, Any] = json.loads(run.stdout)
    return told


def test_everything_a_node_client_does(result, gateway):
    for family in FAMILIES:
        told = result[family]
        said = "You said: Hello there"
        assert told["chat"] == {"text": said, "finish": "stop", "usage": [2, 4]}
        assert told["stream"] == {"text": said, "usage": [2, 4]}
        assert told["tools"] == {
            "finish": "tool_calls",
            "name": "get_weather",
            "arguments": {"city": "Paris"},
            "then": "stop",
        }
        assert told["streamedTools"] == [{"city": "Paris"}]
    assert result["embeddings"]["size"] == 2
    assert result["embeddings"]["gap"] < 1e-6
    assert result["models"] == ["anthropic", "broken", "embedder", "gemini", "limited", "openai"]
    assert result["errors"] == {
        "unknownModel": {"name": "NotFoundError", "status": 404, "code": "model_not_found"},
        "badValue": {"name": "BadRequestError", "status": 400, "code": "invalid_value"},
        "wrongKey": {"name": "AuthenticationError", "status": 401, "code": "invalid_api_key"},
        "rateLimit": {"name": "RateLimitError", "status": 429, "code": "upstream_rate_limited"},
        "brokenStream": {"name": "APIError", "status": None, "code": "upstream_broken"},
    }
    outcomes = [settle.outcome for settle in gateway.settled()]
    assert outcomes == ["ok"] * 17 + ["error"] * 2
