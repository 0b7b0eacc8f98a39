"""Providers, deployments and aliases in the configuration document."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

from django.conf import settings
from django.db.models import Model

from apps.configuration import registry
from apps.configuration.collections import Collection, Item
from apps.configuration.fields import (
    Choice,
    Field,
    Flag,
    Mapped,
    Name,
    Ref,
    Seconds,
    Text,
    Whole,
    kind_of,
)
from apps.configuration.problems import Wrong
from apps.configuration.work import Work
from apps.providers import services
from apps.providers.adapters.registry import FAMILIES, find_option_error
from apps.providers.models import Alias, Credential, Deployment, Provider, Target
from apps.providers.secrets import is_sealed
from chatvault.lib import references
from chatvault.lib.errors import UpstreamForbidden

SEALED: Final = "sealed"


class CredentialSecret(Field):
    """A reference, or the mark of a secret that the database keeps: `sealed:<fingerprint>`.

    The fingerprint is of the sealed text, which differs every time: it tells that a secret was
    replaced, and nothing about it.
    """

    def read(self, value: Any) -> str:
        if not isinstance(value, str):
            raise Wrong(f"This must be text, not {kind_of(value)}.", "Write env:NAME or file:PATH.")
        if is_mark(value):
            return value
        if not references.is_reference(value):
            raise Wrong("A document holds no secrets.", "Write env:NAME or file:PATH.")
        try:
            references.check_reference(value, home=settings.CHATVAULT.home)
        except references.SecretRefused as refused:
            raise Wrong(refused.reason, refused.hint) from None
        return value

    def of(self, row: Any) -> Any:
        if is_sealed(row.secret):
            return f"{SEALED}:{hashlib.sha256(row.secret.encode()).hexdigest()[:12]}"
        return row.secret or None


def is_mark(secret: str) -> bool:
    return secret == SEALED or secret.startswith(f"{SEALED}:")


class Credentials(Collection):
    name = "credentials"
    model = Credential
    accessor = "credentials"
    parent = "provider"
    fields = (
        Name(name="name"),
        CredentialSecret(name="secret"),
        Flag(name="active", attr="is_active"),
    )

    def make(self, item: Item, parent: Model | None, work: Work) -> Model | None:
        assert isinstance(parent, Provider)
        secret = item.values.get("secret")
        if work.may_wipe and (secret is None or is_mark(secret)):
            return self._make_without(item, parent, work)
        if secret is None or is_mark(secret):
            work.problem(
                f"{item.path}.secret",
                "The secret of a new credential is missing."
                if secret is None
                else "There is no stored secret that this mark could stand for.",
                "Write env:NAME or file:PATH, or make the credential in the admin first.",
            )
            return None
        row = Credential(
            provider=parent,
            name=item.values["name"],
            is_active=item.values.get("active", True),
        )
        services.set_credential_secret(credential=row, secret=secret)
        return row

    def _make_without(self, item: Item, provider: Provider, work: Work) -> Credential:
        work.applied.notes.append(
            f"The secret of {provider.name} / {item.values['name']} is gone: enter it again."
        )
        return Credential.objects.create(
            provider=provider,
            name=item.values["name"],
            is_active=item.values.get("active", True),
            secret="",
            origin=services.origin_of(provider),
        )

    def change(self, row: Any, item: Item, work: Work) -> list[str]:
        secret = item.values.pop("secret", None)
        changed = super().change(row, item, work)
        if secret is None or is_mark(secret):
            return changed
        item.values["secret"] = secret
        if row.secret != secret or row.origin != services.origin_of(row.provider):
            services.set_credential_secret(credential=row, secret=secret)
            changed.append("secret")
        return changed

    def wanted(self, item: Item, work: Work) -> dict[str, Any]:
        wanted = super().wanted(item, work)
        return {name: value for name, value in wanted.items() if name != "secret"}


class Providers(Collection):
    name = "providers"
    model = Provider
    fields = (
        Name(name="name"),
        Choice(name="family", choices=tuple(FAMILIES), required=True),
        Text(name="base_url", max_length=500),
        Mapped(name="options", default={}),
        Seconds(name="connect_timeout_s"),
        Seconds(name="first_byte_timeout_s"),
        Flag(name="active", attr="is_active"),
    )

    def check(self, item: Item, parent: Item | None, work: Work) -> None:
        options = item.values.get("options")
        family = item.values.get("family", "")
        if options and family and (error := find_option_error(family, options)):
            work.problem(f"{item.path}.options", _sentence(error), "See the family's options.")
        if base_url := item.values.get("base_url"):
            try:
                services.origin_of(
                    Provider(family=item.values.get("family", ""), base_url=base_url)
                )
            except UpstreamForbidden as forbidden:
                work.problem(f"{item.path}.base_url", forbidden.message, "Write https://host/path.")

    def change(self, row: Any, item: Item, work: Work) -> list[str]:
        before = services.origin_of(row)
        changed = super().change(row, item, work)
        if changed and services.origin_of(row) != before:
            self._leave_secrets_behind(row, item, work)
        return changed

    def _leave_secrets_behind(self, row: Provider, item: Item, work: Work) -> None:
        given = {
            part.values["name"]
            for part in item.parts.get("credentials", [])
            if references.is_reference(part.values.get("secret") or "")
        }
        bound = [c for c in row.credentials.all() if c.secret and c.name not in given]
        if bound and not work.may_wipe:
            names = ", ".join(credential.name for credential in bound)
            work.problem(
                f"{item.path}.base_url",
                f"The provider would move and leave the secret behind that was given for its "
                f"present address (credential {names}).",
                "Give the secret as env:NAME or file:PATH in the same document, or change the "
                "address in the admin and enter the secret there.",
            )
            return
        for credential in bound:
            credential.secret, credential.origin = "", services.origin_of(row)
            credential.save(update_fields=["secret", "origin"])
            work.applied.notes.append(
                f"The secret of {row.name} / {credential.name} was removed: enter it again."
            )


class CredentialRef(Ref):
    """A credential of the deployment's provider; checked with its item."""

    def references(self, value: Any) -> tuple[tuple[str, str], ...]:
        return ()


class Deployments(Collection):
    name = "deployments"
    model = Deployment
    fields = (
        Name(name="name"),
        Ref(name="provider", to="providers", required=True),
        CredentialRef(name="credential", to="providers.credentials", nullable=True),
        Text(name="model", required=True, max_length=150),
        Whole(name="max_output_tokens", least=1, nullable=True),
        Flag(name="active", attr="is_active"),
    )

    def assign(self, row: Any, item: Item, work: Work, fields: dict[str, Field]) -> None:
        plain = {name: each for name, each in fields.items() if name != "credential"}
        super().assign(row, item, work, plain)
        name = item.values.get("credential")
        if "credential" in fields and "credential" in item.values:
            row.credential = None
            if name is not None:
                row.credential = row.provider.credentials.filter(name=name).first()
                if row.credential is None:
                    work.problem(
                        f"{item.path}.credential",
                        f"The provider {row.provider.name} has no credential {name[:100]!r}.",
                        "Add it to the provider's credentials.",
                    )
        elif row.credential is not None and row.credential.provider_id != row.provider_id:
            work.problem(
                f"{item.path}.credential",
                "The deployment moves to another provider, whose credential is not named.",
                "Name a credential of that provider, or null for none.",
            )


class Targets(Collection):
    name = "targets"
    model = Target
    accessor = "targets"
    parent = "alias"
    key_fields = ("deployment",)
    is_whole = True
    fields = (
        Ref(name="deployment", to="deployments", required=True),
        Whole(name="weight", default=1, most=1_000_000),
    )

    def export_all(self, rows: Iterable[Any]) -> list[dict[str, Any]]:
        return [self.export(row) for row in sorted(rows, key=lambda row: (row.position, row.pk))]

    def export(self, row: Any) -> dict[str, Any]:
        return {"deployment": row.deployment.name, "weight": row.weight}

    def make(self, item: Item, parent: Model | None, work: Work) -> Model | None:
        assert isinstance(parent, Alias)
        row = Target(alias=parent, position=item.index)
        self.assign(row, item, work, {each.name: each for each in self.fields})
        row.save()
        return row

    def change(self, row: Any, item: Item, work: Work) -> list[str]:
        changed = super().change(row, item, work)
        if row.position != item.index:
            row.position = item.index
            row.save(update_fields=["position"])
            changed.append("position")
        return changed


class Aliases(Collection):
    name = "aliases"
    model = Alias
    fields = (
        Name(name="name"),
        Choice(name="strategy", choices=("weighted", "ordered"), default="weighted"),
        Flag(name="active", attr="is_active"),
    )

    def export(self, row: Any) -> dict[str, Any]:
        item = super().export(row)
        return {"name": item.pop("name"), "strategy": row.strategy} | item


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def register() -> None:
    registry.register(Providers(), order=10, parts=(Credentials(),))
    registry.register(Deployments(), order=20)
    registry.register(Aliases(), order=30, parts=(Targets(),))
