"""The Dockerfile, as the check of the image reads it; and the health check inside."""

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.architecture.source import ROOT
from tests.deploy.files import DEPLOY, program

dockerfile = program("image/dockerfile.py")
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
HEALTH = DEPLOY / "image/healthcheck.py"


def test_two_stages_on_one_pinned_base():
    build, final = dockerfile.parse(TEXT)
    assert build.name == "build"
    assert build.base == final.base
    assert re.fullmatch(r"python:3\.1[1-3]\.\d+-slim-\w+", final.base)


def test_packages_come_by_hash_and_installers_stay_behind():
    build, final = dockerfile.parse(TEXT)
    installs = [
        line for one in build.all("RUN") for line in one.text.split("&&") if " install " in line
    ]
    assert installs and all("--require-hashes" in line for line in installs)
    assert not any("pip" in one.text for one in final.all("RUN"))
    assert all(one.flags.get("from") == "build" for one in final.all("COPY"))


def test_it_runs_as_nobody_special():
    final = dockerfile.parse(TEXT)[-1]
    assert final.last("USER").text == "10001:10001"
    assert final.last("ENTRYPOINT").words == ["python", "manage.py"]
    assert final.last("CMD").words == ["serve"]
    assert final.last("STOPSIGNAL").text == "SIGTERM"
    assert "healthcheck.py" in final.last("HEALTHCHECK").text


def test_nothing_secret_is_built_in():
    for stage in dockerfile.parse(TEXT):
        names = {name for one in stage.all("ENV") for name in dockerfile.assignments(one)}
        assert not [name for name in names if re.search("SECRET|KEY|TOKEN|PASSWORD|URL", name)]


def test_the_context_holds_what_is_named_and_nothing_else():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    named = {rule[1:] for rule in rules if rule.startswith("!")}
    build = dockerfile.parse(TEXT)[0]
    assert {source for one in build.all("COPY") for source in one.words[:-1]} == named
    assert all((ROOT / name).exists() for name in named)


def test_the_parser_reads_what_docker_reads():
    stage = dockerfile.parse(
        "ARG A=python:3\nFROM ${A} AS x\n# no\nRUN one \\\n  && two\n"
        'COPY --from=x --chown=1:2 a b\nENV A=1 B="2 3"\nCMD ["c", "d"]\n'
    )[0]
    assert (stage.base, stage.name) == ("python:3", "x")
    assert " ".join(stage.last("RUN").text.split()) == "one && two"
    assert stage.last("COPY").flags == {"from": "x", "chown": "1:2"}
    assert dockerfile.assignments(stage.last("ENV")) == {"A": "1", "B": "2 3"}
    assert stage.last("CMD").words == ["c", "d"]
    with pytest.raises(ValueError, match="ONBUILD"):
        dockerfile.parse("FROM a\nONBUILD RUN b\n")


def _health(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", HEALTH],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_a_serving_container_is_asked_for_readiness(status, code):
    class Ready(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Ready)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for roles in ("", "gateway,ingest", "web"):
            done = _health(PORT=str(server.server_port), CHATVAULT_ROLES=roles)
            assert done.returncode == code
    finally:
        server.shutdown()
        server.server_close()
    assert _health(PORT=str(server.server_port)).returncode == 1


def test_a_background_container_needs_a_living_process_for_each_role(tmp_path: Path):
    run = tmp_path / "run"
    run.mkdir()
    environment = {"CHATVAULT_HOME": str(tmp_path), "CHATVAULT_ROLES": "worker,beat"}
    assert _health(**environment).stderr == "not running: beat, worker\n"
    report = run / "serve-beat-worker.json"
    report.write_text(json.dumps({"children": {"worker": os.getpid(), "beat": os.getpid()}}))
    assert _health(**environment).returncode == 0
    report.write_text(json.dumps({"children": {"worker": os.getpid(), "beat": 2**22 + 1}}))
    assert _health(**environment).stderr == "not running: beat\n"
