"""What a configuration lacks to serve, although it can be applied. Gaps are told and never refused:
a document may be prepared on another machine than the one that serves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from apps.configuration.problems import Problem
from chatvault.lib import references

MAX_GAPS: Final = 100
_MAX_NAMES: Final = 3
_INACTIVE: Final = "is not active"
_STRANGE: Final = "is not this provider's"
_NEEDS_SECRET: Final = frozenset({"anthropic", "gemini"})
_NEEDS_SECRET_AT: Final = frozenset({"api.openai.com"})

Item = dict[str, Any]


def find_gaps(document: Item, *, home: Path) -> list[Problem]:
    """The gaps of a whole configuration as `export` writes it; paths name items
    (`deployments[x].credential`). References are looked up in this process's environment and
    files; `home` is ChatVault's state folder. At most 100, the last says how many there are."""
    secrets = _Secrets(document, home)
    deployments = [*_deployments(document, secrets)]
    serving = {name: model for name, model, is_served, _ in deployments if is_served}
    gaps = [
        *secrets.gaps,
        *(gap for *_, gap in deployments if gap is not None),
        *_aliases(document, serving),
        *_prices(document, serving),
    ]
    if len(gaps) <= MAX_GAPS:
        return gaps
    rest = Problem("document", f"There are {len(gaps)} such notes in all.", "Mend these first.")
    return [*gaps[: MAX_GAPS - 1], rest]


class _Secrets:
    """Which credentials of active providers can be used: `why_not` is empty for those."""

    def __init__(self, document: Item, home: Path) -> None:
        self.why_not: dict[tuple[str, str], str] = {}
        self.gaps: list[Problem] = []
        for provider in filter(_is_active, _list(document, "providers")):
            for credential in _list(provider, "credentials"):
                key = (provider["name"], credential["name"])
                self.why_not[key] = self._why_not(credential, key, home)

    def _why_not(self, credential: Item, key: tuple[str, str], home: Path) -> str:
        if not _is_active(credential):
            return _INACTIVE
        secret = credential.get("secret") or ""
        if not secret:
            return "has no secret"
        if references.is_reference(secret):
            try:
                references.resolve(secret, home=home)
            except references.SecretProblem as problem:
                path = f"providers[{key[0]}].credentials[{key[1]}].secret"
                self.gaps.append(Problem(path, problem.reason, problem.hint))
                return "has a secret that cannot be had here"
        return ""


def _deployments(
    document: Item, secrets: _Secrets
) -> Iterator[tuple[str, str, bool, Problem | None]]:
    """Name, model, whether gateways take it for requests, and what its credential lacks."""
    providers = {each["name"]: each for each in _list(document, "providers")}
    for item in _list(document, "deployments"):
        provider = providers[item["provider"]]
        if not (_is_active(item) and _is_active(provider)):
            yield item["name"], item["model"], False, None
            continue
        credential = item.get("credential")
        path = f"deployments[{item['name']}].credential"
        gap = None
        is_served = True
        if credential is None:
            if _needs_secret(provider):
                reason = f"It has none, and the provider {provider['name']} wants one."
                gap = Problem(path, reason, "Name a credential of that provider.")
        elif why := secrets.why_not.get((provider["name"], credential), _STRANGE):
            is_served = why not in (_INACTIVE, _STRANGE)
            gap = Problem(
                path,
                f"The credential {credential} of {provider['name']} {why}: "
                f"requests {'fail' if is_served else 'are not sent there'}.",
                "Mend the credential, or name another one.",
            )
        yield item["name"], item["model"], is_served, gap


def _needs_secret(provider: Item) -> bool:
    """Families and hosts that answer nobody without one; others, such as Ollama, may."""
    host = urlsplit(provider.get("base_url") or "").hostname
    return (
        provider["family"] in _NEEDS_SECRET
        or host in _NEEDS_SECRET_AT
        or bool(_list(provider, "credentials"))
    )


def _aliases(document: Item, serving: dict[str, str]) -> Iterator[Problem]:
    for alias in filter(_is_active, _list(document, "aliases")):
        targets = _list(alias, "targets")
        if any(target["deployment"] in serving for target in targets):
            continue
        path = f"aliases[{alias['name']}].targets"
        if targets:
            hint = "Make a deployment with its provider and credential active."
            yield Problem(path, "None of them is active: requests for it fail.", hint)
        else:
            yield Problem(path, "It has none: requests for it fail.", "Add a deployment.")


@dataclass
class _Unpriced:
    """A model without a price now in a book that clients with a budget pay by."""

    clients: list[str] = field(default_factory=list)
    is_refused: bool = False  # an alias has no other target that is priced


def _prices(document: Item, serving: dict[str, str]) -> Iterator[Problem]:
    books = {tier["name"]: tier["price_book"] for tier in _list(document, "pricing_tiers")}
    priced = {
        book["name"]: {p["model"] for p in _list(book, "prices") if "valid_from" not in p}
        for book in _list(document, "price_books")
    }
    models = _models(document, serving)
    found: dict[tuple[str, str], _Unpriced] = {}
    for client in _with_budget(document):
        names = client.get("aliases") or []
        offered = [models[n] for n in (models if names == "*" else names) if models.get(n)]
        if offered and client.get("tier") is None:
            yield Problem(
                f"clients[{client['name']}].tier",
                "It has a budget but no tier, so it gets 402 model_unpriced for every model.",
                "Name a pricing tier.",
            )
            continue
        for of_alias in offered:
            book = books[client["tier"]]
            for model in sorted(of_alias - priced[book]):
                entry = found.setdefault((book, model), _Unpriced())
                entry.is_refused = entry.is_refused or not of_alias & priced[book]
                if client["name"] not in entry.clients:
                    entry.clients.append(client["name"])
    for (book, model), entry in found.items():
        yield _unpriced(book, model, entry)


def _models(document: Item, serving: dict[str, str]) -> dict[str, set[str]]:
    """The models that may answer for each active alias."""
    return {
        alias["name"]: {
            serving[target["deployment"]]
            for target in _list(alias, "targets")
            if target["deployment"] in serving
        }
        for alias in filter(_is_active, _list(document, "aliases"))
    }


def _unpriced(book: str, model: str, entry: _Unpriced) -> Problem:
    more = len(entry.clients) - _MAX_NAMES
    named = ", ".join(entry.clients[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
    fate = "get 402 model_unpriced" if entry.is_refused else "are never sent to it"
    return Problem(
        f"price_books[{book}].prices",
        f"The model {model} has no price now: clients with a budget ({named}) {fate}.",
        "Add its price.",
    )


def _with_budget(document: Item) -> Iterator[Item]:
    """Active clients that a budget binds: their own, their team's, or that of a key."""
    teams = {each["name"]: each for each in _list(document, "teams")}
    for client in filter(_is_active, _list(document, "clients")):
        team = teams[client["team"]]
        if _is_active(team) and (
            _has_budget(client)
            or _has_budget(team)
            or any(map(_has_budget, filter(_is_active, _list(client, "keys"))))
        ):
            yield client


def _has_budget(item: Item) -> bool:
    return any(map(_is_active, _list(item, "budgets")))


def _is_active(item: Item) -> bool:
    return bool(item.get("active", True))


def _list(item: Item, name: str) -> list[Item]:
    found: Iterable[Item] = item.get(name) or ()
    return [*found]
