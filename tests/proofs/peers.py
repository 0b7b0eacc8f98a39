"""A provider that nobody here wrote: the LiteLLM proxy, from its own environment."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import yaml

from benchmarks import environments
from benchmarks.gateways.contract import ENV, HOME, clean_environment
from benchmarks.processes import free_port, stop, wait_until_ready
from tests.proofs.figures import Figures
from tests.proofs.stage import Stage, wait_until

SECRET = "sk-of-the-peer-0123456789"
SAID = "The peer answers with these very words."
VECTOR = [0.25, -0.5, 1.0]
_PRICES = {"chatty": ("2", "8"), "vectors": ("0.02", "0")}
_ROW = (
    "SELECT alias, is_stream, outcome, usage_source, input_tokens, output_tokens, charged_nano, "
    "latency_ms FROM usage_requestlog WHERE request_id = ?"
)


def prove(folder: Path) -> Figures:
    """Chat, stream, embeddings and the list of models by the official SDK, and their books."""
    figures = Figures("peers")
    with (
        _peer(folder) as (port, version),
        Stage(folder, CHATVAULT_PRIVATE_HOSTS=f"127.0.0.1:{port}", PEER_KEY=SECRET) as stage,
    ):
        stage.apply(_document(stage, port))
        answers = _ask(stage)
        wait_until(stage.is_healed)
        rows = {name: stage.query(_ROW, told["id"])[0] for name, told in answers.items()}
        figures.note(peer=f"LiteLLM proxy {version}")
        for name, told in answers.items():
            _judge(name, told, rows[name], figures)
        figures.require(verify_ledger=(stage.verdict(), "clean"))
    return figures.show()


@contextmanager
def _peer(folder: Path) -> Iterator[tuple[int, str]]:
    pins = HOME / "requirements/litellm.txt"
    binaries = environments.python_environment(ENV / "litellm", pins)
    config = folder / "litellm.yaml"
    config.write_text(yaml.safe_dump(_PEER))
    port = free_port()
    command = [str(binaries / "litellm"), "--config", str(config), "--host", "127.0.0.1"]
    surroundings = clean_environment(LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_LOG="ERROR")
    with (folder / "litellm.log").open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--num_workers", "1"],
            env=surroundings,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            wait_until_ready(process, port, "/health/readiness", patience_s=180)
            yield port, environments.python_version_of(binaries, "litellm")
        finally:
            stop(process)


_PEER = {
    "model_list": [
        {
            "model_name": "chatty",
            "litellm_params": {"model": "openai/gpt-4o-mini", "mock_response": SAID},
        },
        {
            "model_name": "vectors",
            "litellm_params": {"model": "openai/text-embedding-3-small", "mock_response": VECTOR},
        },
    ],
    "general_settings": {"master_key": SECRET},
}


def _document(stage: Stage, port: int) -> dict[str, Any]:
    names = list(_PRICES)
    return {
        "providers": [
            {
                "name": "peer",
                "family": "openai",
                "base_url": f"http://127.0.0.1:{port}/v1",
                "credentials": [{"name": "main", "secret": "env:PEER_KEY"}],
            }
        ],
        "deployments": [
            {"name": name, "provider": "peer", "credential": "main", "model": name}
            for name in names
        ],
        "aliases": [{"name": name, "targets": [{"deployment": name}]} for name in names],
        "price_books": [
            {
                "name": "peer",
                "prices": [
                    {"model": name, "input": price[0], "output": price[1]}
                    for name, price in _PRICES.items()
                ],
            }
        ],
        "pricing_tiers": [{"name": "peer", "price_book": "peer"}],
        "teams": [{"name": "peer"}],
        "clients": [
            {
                "name": "peer",
                "team": "peer",
                "tier": "peer",
                "aliases": names,
                "keys": [{"name": "one", "secret": stage.secret_of("peer")}],
                "budgets": [{"amount_usd": "10", "period": "month"}],
            }
        ],
    }


def _ask(stage: Stage) -> dict[str, dict[str, Any]]:
    """What the SDK was given, by sort of request: text, usage, request id."""
    messages: Any = [{"role": "user", "content": "Say something."}]
    with openai.OpenAI(
        base_url=f"{stage.url}/v1", api_key=stage.key_of("peer"), max_retries=0
    ) as client:
        assert {model.id for model in client.models.list()} == _PRICES.keys()
        whole = client.chat.completions.with_raw_response.create(model="chatty", messages=messages)
        chat = whole.parse()
        streamed = client.chat.completions.with_raw_response.create(
            model="chatty", messages=messages, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(streamed.parse())
        embedded = client.embeddings.with_raw_response.create(
            model="vectors", input="Say something.", encoding_format="float"
        )
        vectors = embedded.parse()
    return {
        "chat": _told(whole, chat.choices[0].message.content, chat.usage),
        "stream": _told(
            streamed,
            "".join(c.choices[0].delta.content or "" for c in chunks if c.choices),
            next((chunk.usage for chunk in chunks if chunk.usage), None),
        ),
        "embeddings": _told(embedded, vectors.data[0].embedding, vectors.usage),
    }


def _told(answer: Any, content: Any, usage: Any) -> dict[str, Any]:
    request_id = answer.headers["x-request-id"].replace("-", "")
    tokens = (usage.prompt_tokens, getattr(usage, "completion_tokens", 0)) if usage else None
    return {"id": request_id, "content": content, "usage": tokens}


def _judge(name: str, told: dict[str, Any], row: tuple[Any, ...], figures: Figures) -> None:
    alias, is_stream, outcome, source, inputs, outputs, charged, latency_ms = row
    wanted = VECTOR if name == "embeddings" else SAID
    price = [int(Decimal(part) * 1000) for part in _PRICES[alias]]  # nano-USD a token
    figures.require(
        **{
            f"{name}_content": (told["content"] == wanted, True),
            f"{name}_outcome": ((outcome, bool(is_stream)), ("ok", name == "stream")),
            f"{name}_usage": (((inputs, outputs), source), (told["usage"], "provider")),
            f"{name}_charged_nano": (charged, inputs * price[0] + outputs * price[1]),
        }
    )
    figures.note(**{f"{name}_latency_ms": latency_ms})
