"""A real `manage.py serve` that is looked at from outside: its traces as a collector gets them, its
log as what collects logs gets it, and no secret in either."""

from __future__ import annotations

import base64
import json
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml

from tests.fakes.collector import Collector
from tests.fakes.upstream import CANARY as UPSTREAM_CANARY
from tests.fakes.upstream import FakeUpstream
from tests.run.tree import ROOT, Tree, environment, with_tables

pytestmark = [pytest.mark.run, pytest.mark.long, pytest.mark.xdist_group("run")]

PROVIDER_KEY = "sk-provider-canary-4bR7kQmZ9wX2"
CLIENT_KEY = "sk-client-canary-7Yt5Rr3Ee1Ww9Qq"
TOKEN = "collector-canary-0Pp8Oo6Ii4"
PROMPT = "a prompt canary that nobody else says"
PASSWORD = "database-canary-5Zz3Xx1Cc"
BAD_KEY = "cv_bad-canary-2Bb4Nn6Mm8"


class Site:
    """What runs: ChatVault, a provider and a collector; and how a client calls it."""

    def __init__(self, tree: Tree, upstream: FakeUpstream, collector: Collector) -> None:
        self.tree, self.upstream, self.collector = tree, upstream, collector

    @property
    def url(self) -> str:
        return str(self.tree.state()["url"])

    def client(self, key: str = CLIENT_KEY) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0)

    def ask(self, model: str, key: str = CLIENT_KEY) -> str:
        """Streams an answer; returns what was said, or the body of the error."""
        try:
            answer = self.client(key).chat.completions.create(
                model=model, messages=[{"role": "user", "content": PROMPT}], stream=True
            )
            return "".join(c.choices[0].delta.content or "" for c in answer if c.choices)
        except openai.APIError as error:
            return repr(error) + repr(getattr(error, "body", ""))


def _document(upstream: FakeUpstream) -> dict[str, Any]:
    models = {"good": "gpt-4o-mini", "refused": "fault:401", "broken": "fault:eof-after-2"}
    aliases = {"good": ["good"], "rescued": ["refused", "good"], "lost": ["refused"],
               "broken": ["broken"]}  # fmt: skip
    return {
        "version": 1,
        "providers": [{
            "name": "witness", "family": "openai", "base_url": upstream.openai_url,
            "credentials": [{"name": "main", "secret": "env:WITNESS_KEY"}],
        }],
        "deployments": [
            {"name": name, "provider": "witness", "credential": "main", "model": model}
            for name, model in models.items()
        ],
        "aliases": [
            {"name": name, "strategy": "ordered", "targets": [{"deployment": d} for d in to]}
            for name, to in aliases.items()
        ],
        "teams": [{"name": "seen"}],
        "clients": [{
            "name": "seen", "team": "seen", "aliases": list(aliases),
            "keys": [{"name": "k", "secret": "env:SEEN_KEY"}],
        }],
    }  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("observed")
    upstream = FakeUpstream().start()
    with Collector(folder) as collector:
        more = {
            "WITNESS_KEY": PROVIDER_KEY,
            "SEEN_KEY": CLIENT_KEY,
            "CHATVAULT_PRIVATE_HOSTS": "127.0.0.1",
            "CHATVAULT_LOG_FORMAT": "json",
            "CHATVAULT_LOG_LEVEL": "DEBUG",
            "CHATVAULT_LOG_ACCESS_RATIO": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-token={TOKEN}",
        }
        with Tree(with_tables(folder / "home"), **more) as tree:
            tree.ready()
            subprocess.run(
                [sys.executable, "manage.py", "config", "apply", "-"],
                cwd=ROOT, env=environment(tree.home, **more), check=True, capture_output=True,
                input=yaml.safe_dump(_document(upstream)).encode(),
            )  # fmt: skip
            made = Site(tree, upstream, collector)
            tree.wait_for(lambda: "You said" in made.ask("good"))
            yield made
            tree.stop()
    upstream.stop()


def _tree_of(spans: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """All spans of the first trace with a server span of this name."""
    traces = [span["trace"] for span in spans if span["name"] == name]
    return [span for span in spans if traces and span["trace"] == traces[0]]


def test_a_streamed_request_is_one_tree_over_all_processes(site: Site) -> None:
    """Gateway, both calls to the provider, and the task that the failed one caused."""
    assert site.ask("rescued") == f"You said: {PROMPT}"
    task = "run/apps.usage.tasks.review_errors"
    found = site.collector.wait_for(
        lambda spans: any(one["name"] == task for one in _tree_of(spans, "chat rescued"))
    )
    tree = _tree_of(found, "chat rescued")
    by_name = {span["name"]: span for span in tree}
    assert len(tree) == len(by_name) == 5
    server = by_name["chat rescued"]
    first, second = by_name["chat fault:401"], by_name["chat gpt-4o-mini"]
    sent, done = by_name["apply_async/apps.usage.tasks.review_errors"], by_name[task]
    assert server["parent"] == ""
    assert [one["parent"] for one in (first, second, sent)] == [server["span"]] * 3
    assert done["parent"] == sent["span"]
    assert [one["resource"]["chatvault.role"] for one in (server, sent, done)] == [
        "gateway", "ingest", "worker",
    ]  # fmt: skip
    assert first["attributes"]["error.type"] == "upstream_credential_refused"
    assert (first["error"], second["error"], server["error"]) == (True, False, False)
    assert second["attributes"]["gen_ai.usage.output_tokens"] > 0
    assert second["attributes"]["gen_ai.response.finish_reasons"] == ["stop"]
    assert server["events"][0][0] == "gen_ai.first_chunk"
    assert server["token"] == TOKEN


def test_pages_of_the_admin_are_traced_without_their_queries(site: Site) -> None:
    site.tree.get("/admin/login/?next=/admin/usage/requestlog/%3Fq%3Dneedle")
    found = site.collector.wait_for(lambda spans: any("login" in span["name"] for span in spans))
    (page,) = [span for span in found if "login" in span["name"]]
    assert page["attributes"]["http.response.status_code"] == 200
    assert "needle" not in json.dumps(page)


def test_every_line_is_json_and_no_secret_is_anywhere(site: Site) -> None:
    bodies = [
        site.ask("lost"),
        site.ask("broken"),
        site.ask("nosuch"),
        site.ask("good", BAD_KEY),
        _status_and_body(f"{site.url}/v1/chat/completions", b"{" + PROMPT.encode()),
        _status_and_body(f"{site.url}/admin/usage/errorgroup/?q={PROVIDER_KEY}", None),
    ]
    site.collector.wait_for(lambda spans: any(span["name"] == "chat broken" for span in spans))
    metrics = urllib.request.urlopen(f"{site.url}/metrics", timeout=5).read().decode()
    lines = site.tree.output().splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)
    access = [json.loads(line) for line in lines if '"logger":"chatvault.access"' in line]
    assert {one["code"] for one in access} >= {
        "ok", "upstream_credential_refused", "upstream_broken", "model_not_found",
        "invalid_api_key", "malformed_json",
    }  # fmt: skip
    assert len({one["trace_id"] for one in access}) == len(access)
    spans = site.collector.text().replace(TOKEN, "")  # what the collector itself was given
    told = "\n".join([site.tree.output(), spans, metrics, *bodies])
    for secret in (PROVIDER_KEY, CLIENT_KEY, TOKEN, BAD_KEY, UPSTREAM_CANARY, PROMPT):
        assert [form for form in _forms(secret) if form in told] == []


def test_what_went_wrong_is_in_the_database(site: Site) -> None:
    """Failed requests and calls by ingest, refusals by the gateway's tally."""
    wanted = {
        ("request", "upstream_credential_refused"),
        ("attempt", "upstream_credential_refused"),
        ("request", "upstream_broken"),
        ("refusal", "model_not_found"),
        ("refusal", "malformed_json"),
    }

    def found() -> set[tuple[str, str]]:
        with closing(sqlite3.connect(site.tree.home / "chatvault.sqlite3")) as database:
            return set(database.execute("SELECT kind, code FROM usage_errorgroup"))

    site.tree.wait_for(lambda: wanted <= found())
    assert not any(kind == "fault" for kind, _ in found())


@pytest.mark.parametrize("variable", ["DATABASE_URL", "REDIS_URL"])
def test_a_password_in_an_address_is_told_to_nobody(tmp_path: Path, variable: str) -> None:
    scheme = {"DATABASE_URL": "postgresql", "REDIS_URL": "redis"}[variable]
    done = subprocess.run(
        [sys.executable, "manage.py", "prepare"],
        cwd=ROOT,
        env=environment(
            tmp_path / "home",
            CHATVAULT_LOG_LEVEL="DEBUG",
            **{variable: f"{scheme}://chatvault:{PASSWORD}@127.0.0.1:9/1"},
        ),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    told = done.stdout + done.stderr
    assert [form for form in _forms(PASSWORD) if form in told] == []


def _status_and_body(url: str, data: bytes | None) -> str:
    headers = {"authorization": f"Bearer {CLIENT_KEY}", "content-type": "application/json"}
    request = urllib.request.Request(url, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return f"{answer.status}"
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"


def _forms(secret: str) -> set[str]:
    raw = secret.encode()
    return {
        secret,
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        raw.hex(),
        urllib.parse.quote(secret),
        urllib.parse.quote_plus(secret),
    }
