"""What a newcomer calls first, with the official packages for Python and Node."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai

from tests.run.tree import ROOT

_SCRIPT = Path(__file__).with_name("first_calls.mjs")
_NODE_FOLDER = ROOT / "tests/sdk/node"


@dataclass(frozen=True)
class Call:
    """One answered request, and the tokens that its answer told."""

    name: str
    request_id: str
    content: str
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Visit:
    calls: list[Call]
    models: list[str]


def by_python(base_url: str, key: str) -> Visit:
    """Chat, stream, embeddings and the list of models."""
    messages: Any = [{"role": "user", "content": "Hello from Python"}]
    with openai.OpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
        models = [model.id for model in client.models.list()]
        raw = client.chat.completions.with_raw_response
        chat = raw.create(model="demo", messages=messages)
        said = chat.parse()
        stream = raw.create(
            model="demo", messages=messages, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream.parse())
        embedded = client.embeddings.with_raw_response.create(
            model="demo", input="Hello from Python"
        )
        vectors = embedded.parse()
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    numbers = f"{len(vectors.data[0].embedding)} numbers"
    calls = [
        _call("python chat", chat, said.choices[0].message.content, said.usage),
        _call("python stream", stream, text, chunks[-1].usage),
        _call("python embeddings", embedded, numbers, vectors.usage),
    ]
    return Visit(calls, models)


def _call(name: str, answer: Any, content: Any, usage: Any) -> Call:
    request_id = answer.headers["x-request-id"].replace("-", "")
    outputs = getattr(usage, "completion_tokens", 0)
    return Call(name, request_id, content, usage.prompt_tokens, outputs)


def by_node(base_url: str, key: str) -> Visit:
    """The same; the package is installed where the SDK's own tests have it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    assert node and npm, "this proof needs node and npm"
    if not (_NODE_FOLDER / "node_modules/openai").exists():
        install = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(install, cwd=_NODE_FOLDER, check=True, capture_output=True)
    done = subprocess.run(
        [node, "--input-type=module", "-"],  # from its standard input, so that it finds the package
        input=_SCRIPT.read_text(),
        cwd=_NODE_FOLDER,
        env={"PATH": os.environ["PATH"], "BASE_URL": base_url, "API_KEY": key},
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    calls = [
        Call(f"node {name}", call["id"], call["content"], *call["usage"])
        for name, call in told["calls"].items()
    ]
    return Visit(calls, told["models"])
