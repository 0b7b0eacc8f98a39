"""The fake as a process of its own, its oracle read from outside, and after a kill."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.fakes.http import HTTP
from tests.fakes.upstream import digest, read_oracle


def start(oracle: Path) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.upstream", "--port", "0", "--oracle", str(oracle)],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def test_oracle_file_survives_a_kill(tmp_path):
    oracle = tmp_path / "oracle.jsonl"
    process, where = start(oracle)
    try:
        url = f"{where['openai_url']}/chat/completions"
        body = {"model": "stream:5", "messages": [{"role": "user", "content": "x"}]}
        headers = {"authorization": "Bearer sk-secret", "x-request-id": "r-1"}
        assert HTTP.post(url, json=body, headers=headers).status_code == 200
        slow = body | {"model": "stream:1000@50ms", "stream": True}
        with HTTP.stream("POST", url, json=slow) as response:
            received = response.iter_raw()
            next(received)
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
    finally:
        process.kill()
        process.wait(10)
    first, second = read_oracle(oracle)
    assert (first.outcome, first.tokens, first.request_id) == ("finished", 5, "r-1")
    assert first.secret_digest == digest("sk-secret")
    assert first.json == body
    assert second.outcome == "open"
    assert b"sk-secret" not in oracle.read_bytes()


def test_stops_cleanly_when_asked(tmp_path):
    process, _ = start(tmp_path / "oracle.jsonl")
    process.terminate()
    assert process.wait(10) == 0
