"""Teams, clients and keys in the configuration document."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db.models import Model

from apps.accounts import errors, key_fields, services
from apps.accounts.credentials import INFERENCE
from apps.accounts.models import ApiKey, Client, Team
from apps.configuration import registry
from apps.configuration.collections import Collection, Item
from apps.configuration.fields import Field, Flag, Moment, Name, Ref, Refs, Text, kind_of
from apps.configuration.problems import Wrong
from apps.configuration.work import MadeKey, Work
from chatvault.lib import references
from chatvault.lib.redact import Secret

EVERY = "*"


class KeySecret(Field):
    """A reference to a given key. It is never written out."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not references.is_reference(value):
            raise Wrong(
                "A document holds no secrets."
                if isinstance(value, str)
                else f"This must be text, not {kind_of(value)}.",
                "Write env:NAME or file:PATH, or leave it out and a key is made.",
            )
        try:
            references.check_reference(value, home=settings.CHATVAULT.home)
        except references.SecretRefused as refused:
            raise Wrong(refused.reason, refused.hint) from None
        return value

    def of(self, row: Model) -> Any:
        return None


class ClientAliases(Refs):
    """Names of aliases, or "*" for all that there ever are."""

    def read(self, value: Any) -> Any:
        return EVERY if value == EVERY else super().read(value)

    def write(self, value: Any) -> Any:
        return EVERY if value == EVERY else super().write(value)

    def of(self, row: Any) -> Any:
        return EVERY if row.may_use_all_aliases else super().of(row)

    def references(self, value: Any) -> tuple[tuple[str, str], ...]:
        return () if value == EVERY else super().references(value)


@dataclass(frozen=True, kw_only=True)
class Scopes(Field):
    """What a key may do; inference alone where the document says nothing."""

    default: Any = (INFERENCE,)

    def read(self, value: Any) -> tuple[str, ...]:
        return tuple(_read(key_fields.read_scopes, _list(value)))

    def write(self, value: Any) -> list[str]:
        return list(value)

    def of(self, row: Any) -> tuple[str, ...]:
        return tuple(row.scopes)


@dataclass(frozen=True, kw_only=True)
class Networks(Field):
    """Networks in CIDR form, from which a key may call."""

    default: Any = ()

    def read(self, value: Any) -> tuple[str, ...]:
        return tuple(_read(key_fields.read_networks, _list(value)))

    def write(self, value: Any) -> list[str]:
        return list(value)

    def of(self, row: Any) -> tuple[str, ...]:
        return tuple(row.networks)


@dataclass(frozen=True, kw_only=True)
class Labels(Field):
    """Names with values."""

    default: Any = field(default_factory=dict)

    def read(self, value: Any) -> dict[str, str]:
        found: dict[str, str] = _read(key_fields.read_labels, value)
        return found


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise Wrong(f"This must be a list, not {kind_of(value)}.", "Write [first, second].")
    return list(value)


def _read(reader: Callable[[Any], Any], value: Any) -> Any:
    try:
        return reader(value)
    except errors.FieldWrong as wrong:
        raise Wrong(wrong.reason, wrong.hint) from None


class Teams(Collection):
    name = "teams"
    model = Team
    fields = (Name(name="name"), Text(name="description"), Flag(name="active", attr="is_active"))


class Keys(Collection):
    name = "keys"
    model = ApiKey
    accessor = "keys"
    parent = "client"
    fields = (
        Name(name="name"),
        KeySecret(name="secret"),
        Flag(name="active", attr="is_active"),
        Moment(name="expires_at"),
        Refs(name="aliases", to="aliases"),
        Scopes(name="scopes"),
        Networks(name="networks"),
        Labels(name="labels"),
    )

    def export_all(self, rows: Iterable[Any]) -> list[dict[str, Any]]:
        """A key that was rotated is on its way out: its successor stands for it."""
        kept = [row for row in rows if row.revoked_at is None and row.rotated_at is None]
        return super().export_all(kept)

    def make(self, item: Item, parent: Model | None, work: Work) -> Model | None:
        assert isinstance(parent, Client)
        secret = self._given_secret(item, work)
        if secret is None and "secret" in item.values:
            return None
        aliases: Any = [work.find("aliases", n) for n in item.values.get("aliases", ())]
        try:
            issued = services.issue_key(
                client=parent,
                name=item.values["name"],
                actor=work.actor,
                secret=secret,
                expires_at=item.values.get("expires_at"),
                aliases=aliases,
                is_active=item.values.get("active", True),
                scopes=item.values.get("scopes", (INFERENCE,)),
                networks=item.values.get("networks", ()),
                labels=item.values.get("labels", {}),
            )
        except errors.AccountsError as error:
            work.problem(f"{item.path}.secret", error.reason, error.hint)
            return None
        if secret is None:
            made = MadeKey(parent.name, issued.key.name, issued.secret)
            work.applied.issued_keys.append(made)
        return issued.key

    def change(self, row: Any, item: Item, work: Work) -> list[str]:
        if row.revoked_at is not None:
            gone = errors.KeyRevoked()
            work.problem(f"{item.path}.name", gone.reason, gone.hint)
            return []
        reference = item.values.pop("secret", None)
        changed = super().change(row, item, work)
        if reference is not None:
            item.values["secret"] = reference
            changed += self._follow_secret(row, item, work)
        if changed:
            services.announce_keys(ApiKey.objects.filter(pk=row.pk))
        return changed

    def remove(self, row: Any, work: Work) -> None:
        services.announce_keys(ApiKey.objects.filter(pk=row.pk))
        super().remove(row, work)

    def assign(self, row: Model, item: Item, work: Work, fields: dict[str, Field]) -> None:
        stored = {name: each for name, each in fields.items() if name != "secret"}
        super().assign(row, item, work, stored)

    def _follow_secret(self, row: ApiKey, item: Item, work: Work) -> list[str]:
        secret = self._given_secret(item, work)
        if secret is None:
            return []
        try:
            if row.digest in services.digests_of(secret):
                return []
            services.replace_secret(key=row, secret=secret)
        except errors.AccountsError as error:
            work.problem(f"{item.path}.secret", error.reason, error.hint)
            return []
        return ["secret"]

    def _given_secret(self, item: Item, work: Work) -> Secret | None:
        reference = item.values.get("secret")
        if reference is None:
            return None
        try:
            return references.resolve(reference, home=settings.CHATVAULT.home)
        except references.SecretProblem as problem:
            work.problem(f"{item.path}.secret", problem.reason, problem.hint)
            return None


class Clients(Collection):
    name = "clients"
    model = Client
    fields = (
        Name(name="name"),
        Ref(name="team", to="teams", required=True),
        Ref(name="tier", to="pricing_tiers", nullable=True),
        Text(name="description"),
        ClientAliases(name="aliases", to="aliases"),
        Flag(name="active", attr="is_active"),
    )

    def assign(self, row: Any, item: Item, work: Work, fields: dict[str, Field]) -> None:
        super().assign(row, item, work, fields)
        if "aliases" in fields and "aliases" in item.values:
            row.may_use_all_aliases = item.values["aliases"] == EVERY

    def assign_many(self, row: Any, item: Item, work: Work) -> None:
        if item.values.get("aliases") != EVERY:
            super().assign_many(row, item, work)

    def remove(self, row: Any, work: Work) -> None:
        services.announce_keys(ApiKey.objects.filter(client=row))
        super().remove(row, work)


def register() -> None:
    registry.register(Teams(), order=60)
    registry.register(Clients(), order=70, parts=(Keys(),))
