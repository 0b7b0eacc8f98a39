"""Keys of another gateway, by their SHA-256 digests: whoever holds one goes on using it.

A list comes as CSV or JSON, in our words or in those of LiteLLM's list of keys. All of it is
imported or nothing; every row that is wrong is told with its line.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from django.apps import apps
from django.db import transaction

from apps.accounts import credentials, errors, key_fields, keys, permissions, services
from apps.accounts.models import ApiKey, Client
from apps.accounts.roles import Capability
from apps.audit import trail
from apps.configuration import announce
from chatvault.lib.names import NAME_PATTERN

if TYPE_CHECKING:
    from apps.accounts.models import User
    from apps.accounts.principals import Principal

MOST_ROWS: Final = 5000
MOST_BYTES: Final = 2 * 2**20
FIELDS: Final = (
    "client", "name", "digest", "hint", "expires_at", "aliases", "scopes", "networks", "labels",
    "active",
)  # fmt: skip
_FOREIGN: Final = {
    "token": "digest",
    "key_alias": "name",
    "key_name": "hint",
    "expires": "expires_at",
    "models": "aliases",
    "metadata": "labels",
}
"""LiteLLM's words for ours; `blocked` is the opposite of `active`."""

_IGNORED: Final = frozenset(
    {
        "spend", "max_budget", "user_id", "team_id", "budget_duration", "budget_reset_at",
        "created_at", "updated_at", "tpm_limit", "rpm_limit", "soft_budget_cooldown", "config",
        "permissions", "model_spend", "model_max_budget", "max_parallel_requests", "org_id",
        "created_by", "updated_by", "organization_id", "router_settings", "allowed_cache_controls",
    }
)  # fmt: skip
_HINT: Final = re.compile(r"[\x21-\x7e…]{1,16}\Z")


@dataclass(frozen=True)
class Problem:
    """What is wrong with one row: the line of the file (CSV) or the number of the item (JSON)."""

    line: int
    field: str
    reason: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.field}: " if self.field else ""
        return f"Line {self.line}: {place}{self.reason} {self.hint}".strip()


@dataclass
class Planned:
    """What an import would do, or did."""

    keys: list[ApiKey] = field(default_factory=list)
    present: int = 0  # the same digest at the same client: nothing to do
    problems: list[Problem] = field(default_factory=list)
    aliases: dict[str, list[Any]] = field(default_factory=dict)  # by digest


class Unreadable(errors.AccountsError):
    reason = "The list cannot be read."
    hint = "Give CSV with a line of names first, or a JSON list of objects, in UTF-8."


def import_digests(
    *, text: str, who: Principal, actor: User | None, client: Client | None = None,
    dry_run: bool = False,
) -> Planned:  # fmt: skip
    """Import what `text` lists; rows that name no client go to `client`. With problems, or as a
    dry run, nothing is written. Raises Unreadable."""
    planned = plan(read(text), who=who, client=client)
    if dry_run or planned.problems:
        return planned
    with transaction.atomic():
        for key in planned.keys:
            key.created_by = actor
            key.save(force_insert=True)
            chosen = planned.aliases[key.digest]
            key.aliases.set(chosen)
            told = services.told(key, chosen)
            trail.record("key.imported", target=key, after=told, team_id=key.client.team_id)
        if planned.keys:
            announce.after_commit(services.TOPIC)
    return planned


def read(text: str) -> list[tuple[int, dict[str, Any]]]:
    """Rows with their lines. Raises Unreadable."""
    if len(text.encode()) > MOST_BYTES:
        raise Unreadable("The list is larger than 2 MiB.", "Import it in parts.")
    stripped = text.lstrip("\ufeff \t\r\n")
    rows = list(_json(stripped) if stripped[:1] in ("[", "{") else _csv(text.lstrip("\ufeff")))
    if not rows:
        raise Unreadable("The list is empty.")
    if len(rows) > MOST_ROWS:
        raise Unreadable(f"These are more than {MOST_ROWS} keys.", "Import them in parts.")
    _refuse_unknown(rows)
    return rows


def _json(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable("This is not JSON.") from None
    if isinstance(found, dict):
        found = found.get("keys", found)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Unreadable("The JSON is no list of objects.")
    return enumerate(found, start=1)


def _csv(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        for row in reader:
            if None in row or None in row.values():
                raise Unreadable(f"Line {reader.line_num} has not as many columns as the first.")
            given = {str(name).strip(): value.strip() for name, value in row.items()}
            yield reader.line_num, {name: value for name, value in given.items() if value}
    except csv.Error as problem:
        raise Unreadable(f"This is not CSV: {problem}.") from None


def plan(
    rows: list[tuple[int, dict[str, Any]]], *, who: Principal, client: Client | None
) -> Planned:
    """What the rows would make, and all that is wrong with them."""
    return _Planner(who, client).plan(rows)


class _Planner:
    """Looks up what rows refer to once, and remembers what earlier rows took."""

    def __init__(self, who: Principal, client: Client | None) -> None:
        self._who = who
        self._client = client
        seen = permissions.limit(Client.objects.select_related("team"), who)
        self._clients = {one.name: one for one in seen.prefetch_related("aliases")}
        every = apps.get_model("providers.Alias")._default_manager.all()
        self._aliases = {alias.name: alias for alias in every}
        self._digests: set[str] = set()
        self._names = set(ApiKey.objects.values_list("client_id", "name"))
        self._planned = Planned()

    def plan(self, rows: list[tuple[int, dict[str, Any]]]) -> Planned:
        known = self._known(rows)
        for line, row in rows:
            try:
                self._row(_ours(row), known)
            except (errors.FieldWrong, errors.GrantExceeded) as wrong:
                self._planned.problems.append(Problem(line, wrong.field, wrong.reason, wrong.hint))
        return self._planned

    def _known(self, rows: list[tuple[int, dict[str, Any]]]) -> dict[str, int]:
        """The clients of digests that there are already, imported or moved under a pepper."""
        marks = {mark: digest for digest in _given(rows) for mark in keys.imported_as(digest)}
        listed, found = sorted(marks), dict[str, int]()
        for start in range(0, len(listed), 500):
            part = ApiKey.objects.filter(imported_as__in=listed[start : start + 500])
            for mark, client_id in part.values_list("imported_as", "client_id"):
                found[marks[mark]] = client_id
        return found

    def _row(self, row: dict[str, Any], known: Mapping[str, int]) -> None:
        client = self._client_of(row)
        digest = _digest(row)
        if digest in self._digests:
            raise errors.FieldWrong("This digest is in the list twice.", "Keep one.", "digest")
        self._digests.add(digest)
        if digest in known:
            if known[digest] != client.pk:
                raise errors.FieldWrong(
                    "This digest is in use already.", "Every key belongs to one.", "digest"
                )
            self._planned.present += 1
            return
        key, aliases = self._key(client, digest, row)
        services.check_grant(self._who, key, aliases)
        self._names.add((client.pk, key.name))
        self._planned.keys.append(key)
        self._planned.aliases[digest] = aliases

    def _client_of(self, row: dict[str, Any]) -> Client:
        name = row.get("client")
        client = self._clients.get(str(name)) if name else self._client
        if client is None:
            reason = f"There is no client {str(name)[:100]!r}." if name else "No client is named."
            raise errors.FieldWrong(reason, "Make it first, or choose one for all.", "client")
        if not self._who.may(Capability.KEYS_WRITE, client.team_id):
            raise errors.FieldWrong(f"You may not issue keys of {client}.", "", "client")
        return client

    def _key(self, client: Client, digest: str, row: dict[str, Any]) -> tuple[ApiKey, list[Any]]:
        name = str(row.get("name") or f"imported-{digest[:8]}")
        if not re.match(NAME_PATTERN, name):
            raise errors.FieldWrong(
                "This is not a name.", "Use letters, digits and . _ : / @ + - or spaces.", "name"
            )
        if (client.pk, name) in self._names:
            raise errors.FieldWrong(
                f"{client} has a key named {name}.", "Choose another name.", "name"
            )
        key = ApiKey(
            client=client,
            name=name,
            digest=digest,
            imported_as=keys.imported_as(digest)[0],
            digest_scheme=ApiKey.Scheme.SHA256,
            pepper=None,
            hint=_hint(row),
            expires_at=_moment(row),
            is_active=_flag(row),
            scopes=key_fields.read_scopes(_names(row, "scopes") or [credentials.INFERENCE]),
            networks=key_fields.read_networks(_names(row, "networks")),
            labels=key_fields.read_labels(_labels(row)),
        )
        return key, self._aliases_of(row)

    def _aliases_of(self, row: dict[str, Any]) -> list[Any]:
        names = _names(row, "aliases")
        missing = [name for name in names if name not in self._aliases]
        if missing:
            raise errors.FieldWrong(
                f"There is no model {missing[0][:100]!r}.", "Make the alias first.", "aliases"
            )
        return [self._aliases[name] for name in dict.fromkeys(names)]


def _given(rows: list[tuple[int, dict[str, Any]]]) -> set[str]:
    found = (row.get("digest") or row.get("token") or "" for _, row in rows)
    return {str(text).strip().lower() for text in found}


def _ours(row: dict[str, Any]) -> dict[str, Any]:
    """The row in our words. Raises FieldWrong for a name that is neither ours nor LiteLLM's."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if name == "blocked":
            found["active"] = not _truth(value, "blocked") if value is not None else True
        elif name in _FOREIGN:
            found.setdefault(_FOREIGN[name], value)
        elif name in FIELDS:
            found[name] = value
    return found


def _refuse_unknown(rows: list[tuple[int, dict[str, Any]]]) -> None:
    """A column that is misspelt would be believed to count."""
    known = {*FIELDS, *_FOREIGN, *_IGNORED, "blocked"}
    unknown = sorted({str(name)[:60] for _, row in rows for name in row} - known)
    if unknown:
        raise Unreadable(
            f"There is no column {unknown[0]!r}.", f"The columns are {', '.join(FIELDS)}."
        )


def _digest(row: dict[str, Any]) -> str:
    text = str(row.get("digest", "")).strip().lower()
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise errors.FieldWrong(
            "This is not a SHA-256 digest.",
            "Give 64 hexadecimal digits: the digest of the key, never the key itself.",
            "digest",
        )
    return text


def _hint(row: dict[str, Any]) -> str:
    """As the other gateway shows the key: never so much of it that it could be the key."""
    text = str(row.get("hint") or "").replace("...", "…")
    return text if _HINT.match(text) else "imported"


def _moment(row: dict[str, Any]) -> datetime | None:
    given = row.get("expires_at")
    if not given:
        return None
    try:
        moment = datetime.fromisoformat(str(given))
    except ValueError:
        raise errors.FieldWrong(
            "This is not a moment.", "Write it like 2027-01-31T00:00:00Z.", "expires_at"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _flag(row: dict[str, Any]) -> bool:
    given = row.get("active")
    return True if given is None else _truth(given, "active")


def _truth(value: Any, name: str) -> bool:
    text = str(value).strip().lower()
    if text not in ("true", "false", "1", "0", "yes", "no"):
        raise errors.FieldWrong("This is neither true nor false.", "Write true or false.", name)
    return text in ("true", "1", "yes")


def _names(row: dict[str, Any], name: str) -> list[str]:
    """A JSON list, or text with spaces or ; between the names."""
    given = row.get(name) or []
    if isinstance(given, str):
        if given.startswith("["):
            given = _parsed(given, name)
        else:
            return [part for part in re.split(r"[;\s]+", given.strip("{}")) if part]
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise errors.FieldWrong("This is no list of names.", "Separate them by ;", name)
    return given


def _labels(row: dict[str, Any]) -> dict[str, str]:
    """A JSON object, or `name=value;name=value`. Of metadata only what is flat text."""
    given = row.get("labels") or {}
    if isinstance(given, str):
        if given.startswith("{"):
            given = _parsed(given, "labels")
        else:
            pairs = (part.partition("=") for part in given.split(";") if part.strip())
            return {name.strip(): value.strip() for name, _, value in pairs}
    if not isinstance(given, dict):
        raise errors.FieldWrong("This is no object.", "Write name=value;name=value", "labels")
    return {name: value for name, value in given.items() if isinstance(value, str)}


def _parsed(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise errors.FieldWrong("This is not JSON.", "", name) from None
