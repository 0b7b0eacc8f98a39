"""A real ChatVault in which every secret is a canary."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from apps.accounts.credentials import issue_secret
from tests.canary import sinks
from tests.canary.marks import Canary, canary, encoded, known, random_text
from tests.canary.sinks import Place
from tests.fakes.collector import Collector
from tests.fakes.upstream import CANARY as OF_UPSTREAM
from tests.fakes.upstream import FakeUpstream
from tests.run.tree import ROOT, Tree, environment, with_tables
from tests.servers.postgres import running_postgres
from tests.servers.valkey import ValkeyServer

FIRST_RUN = "file first-run.json"
"""Where the first run puts the administrator's password and the first key, 0600."""


@dataclass
class Site:
    """What runs, what is secret, and what it has said so far."""

    tree: Tree
    upstream: FakeUpstream
    collector: Collector
    folder: Path
    surroundings: dict[str, str]
    marks: dict[str, Canary]
    said: list[Place] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    postgres_url: str = ""
    valkey: ValkeyServer | None = None

    @property
    def url(self) -> str:
        return str(self.tree.state()["url"])

    def secret(self, name: str) -> str:
        return self.marks[name].text

    def keep(self, name: str, content: bytes) -> None:
        self.said.append(Place(name, content))

    def manage(self, *words: str, given: str = "") -> str:
        """A command as an operator gives it; what it says is a sink as well."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=environment(self.tree.home, **self.surroundings),
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        self.keep(f"command {words[0]}", (done.stdout + done.stderr).encode())
        return done.stdout

    def places(self) -> Iterator[Place]:
        """All sinks, now."""
        yield from self.said
        yield Place("log", self.tree.output().encode())
        token = self.secret("collector token")  # what the collector itself has to be given
        yield Place("traces", self.collector.text().replace(token, "").encode())
        yield from sinks.files(self.tree.home)
        yield from sinks.processes(self.tree.pid)
        if self.postgres_url:
            yield from sinks.postgres_columns(self.postgres_url)
        else:
            yield from sinks.sqlite_columns(self.tree.home / "chatvault.sqlite3")
        if self.valkey is not None:
            yield from sinks.valkey_keys(self.valkey.client())


def _marks() -> dict[str, Canary]:
    cv_key = issue_secret()
    made = [
        canary("provider key", "sk-"),
        canary("changed provider key", "sk-proj-"),
        Canary("client key", cv_key, cv_key[3:46]),
        canary("foreign key", "sk-"),
        canary("unknown key", "sk-"),
        canary("secret key"),
        encoded("vault key"),
        encoded("pepper"),
        canary("prompt", "Remember "),
        canary("answer", "Certainly "),
        canary("password of a person"),
        canary("wrong password"),
        canary("forged token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."),
        canary("database password"),
        canary("redis password"),
        canary("client secret of an identity provider"),
        canary("address of a webhook"),
        canary("signing secret of a webhook"),
        canary("address of a chat"),
        canary("collector token", allowed=("process environ",)),
        known("secret of the fake provider", OF_UPSTREAM),
    ]
    return {mark.name: mark for mark in made}


def _document(upstream: FakeUpstream, folder: Path, models: dict[str, str]) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [{
            "name": "witness", "family": "openai", "base_url": upstream.openai_url,
            "credentials": [{"name": "main", "secret": f"file:{folder}/provider key"}],
        }],
        "deployments": [
            {"name": name, "provider": "witness", "credential": "main", "model": model}
            for name, model in models.items()
        ],
        "aliases": [
            {"name": name, "strategy": "ordered", "targets": [{"deployment": name}]}
            for name in models
        ],
        "teams": [{"name": "seen"}],
        "clients": [{
            "name": "seen", "team": "seen", "aliases": list(models),
            "keys": [
                {"name": "own", "secret": f"file:{folder}/client key"},
                {"name": "foreign", "secret": f"file:{folder}/foreign key"},
            ],
        }],
    }  # fmt: skip


@contextmanager
def running(folder: Path, models: dict[str, str], *, with_servers: bool) -> Iterator[Site]:
    """ChatVault with the embedded servers, or with PostgreSQL and Valkey behind passwords."""
    marks = _marks()
    secret_files = folder / "mounted"
    secret_files.mkdir()
    for name, mark in marks.items():
        (secret_files / name).write_text(mark.text)
    (secret_files / "vault").write_text(f"c1:{marks['vault key'].text}")
    more = {
        "CHATVAULT_SECRET_KEY_FILE": str(secret_files / "secret key"),
        "CHATVAULT_VAULT_KEYS_FILE": str(secret_files / "vault"),
        "CHATVAULT_KEY_PEPPER_FILE": str(secret_files / "pepper"),
        "CHATVAULT_PRIVATE_HOSTS": "127.0.0.1",
        "CHATVAULT_ALERTS_PRIVATE_HOSTS": "127.0.0.1",
        "CHATVAULT_LOG_FORMAT": "json",
        "CHATVAULT_LOG_LEVEL": "DEBUG",
        "CHATVAULT_LOG_ACCESS_RATIO": "1",
    }
    with ExitStack() as stack:
        upstream = FakeUpstream().start()
        stack.callback(upstream.stop)
        collector = stack.enter_context(Collector(folder))
        more["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        more["OTEL_EXPORTER_OTLP_HEADERS"] = f"x-token={marks['collector token'].text}"
        postgres_url, valkey = "", None
        if with_servers:
            postgres_url, valkey = _servers(stack, folder, marks, secret_files, more)
        tree = stack.enter_context(Tree(with_tables(folder / "home"), **more))
        tree.ready()
        site = Site(tree, upstream, collector, folder, more, marks, models=list(models),
                    postgres_url=postgres_url, valkey=valkey)  # fmt: skip
        _remember_the_first_run(site)
        site.manage("config", "apply", "-",
                    given=yaml.safe_dump(_document(upstream, secret_files, models)))  # fmt: skip
        yield site
        tree.stop()


def _servers(
    stack: ExitStack, folder: Path, marks: dict[str, Canary], files: Path, more: dict[str, str]
) -> tuple[str, ValkeyServer]:
    postgres = stack.enter_context(running_postgres())
    postgres.execute("CREATE DATABASE chatvault")
    database = postgres.tcp_url("chatvault")
    place = database.partition("@")[2]
    (files / "database url").write_text(
        f"postgresql://postgres:{marks['database password'].text}@{place}"
    )
    valkey = ValkeyServer(folder, requirepass=marks["redis password"].text)
    valkey.login = {"password": marks["redis password"].text}
    stack.enter_context(valkey.running())
    (files / "redis url").write_text(
        f"redis://:{marks['redis password'].text}@127.0.0.1:{valkey.port}/0"
    )
    more["DATABASE_URL_FILE"] = str(files / "database url")
    more["REDIS_URL_FILE"] = str(files / "redis url")
    return database, valkey


def _remember_the_first_run(site: Site) -> None:
    told = json.loads((site.tree.home / "first-run.json").read_text())
    site.marks["administrator's password"] = known(
        "administrator's password", told["admin"]["password"], allowed=(FIRST_RUN,)
    )
    first = told["api_key"]
    site.marks["first key"] = Canary("first key", first, first[3:46], allowed=(FIRST_RUN,))


def new_name() -> str:
    return f"name-{random_text(6).lower()}"
