"""Changing identity providers: on the trail, the secret never, and wiped when the server moves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.db import transaction

from apps.audit import trail
from apps.sign_in import mapping
from apps.sign_in.models import IdentityProvider
from apps.sign_in.outside import secret as secrets

_TOLD: Final = (
    "name", "slug", "kind", "server_url", "client_id", "scopes", "allowed_domains",
    "vouches_for_addresses", "links_by_email", "first_login", "default_team_id", "default_role",
    "is_active",
)  # fmt: skip


@transaction.atomic
def save(*, provider: IdentityProvider, secret: str, changed: Iterable[str]) -> bool:
    """Whether a secret was wiped because it was given for another server."""
    before = IdentityProvider.objects.filter(pk=provider.pk).first()
    provider.save()
    was_moved = False
    if secret:
        secrets.seal(provider, secret)
    else:
        was_moved = secrets.wipe_if_moved(provider)
    provider.discovered, provider.discovered_at = {}, None
    provider.save()
    old, new = _fields(before), _fields(provider)
    differs = {name for name in new if old.get(name) != new[name]}
    trail.record(
        "identity_provider.changed" if before else "identity_provider.made",
        target=provider,
        before={name: old[name] for name in differs if name in old},
        after={name: new[name] for name in differs} | _about_secret(secret, was_moved),
    )
    return was_moved


@transaction.atomic
def delete(*, provider: IdentityProvider) -> None:
    """The roles that its rules gave go with it."""
    mapping.take_all(provider=provider)
    trail.record("identity_provider.deleted", target=provider, before=_fields(provider))
    provider.delete()


@transaction.atomic
def rules_changed(*, provider: IdentityProvider) -> None:
    rules = [str(rule) for rule in provider.rules.select_related("team")]
    trail.record("identity_provider.rules", target=provider, after={"rules": rules})


def _fields(provider: IdentityProvider | None) -> dict[str, Any]:
    return {name: getattr(provider, name) for name in _TOLD} if provider else {}


def _about_secret(secret: str, was_moved: bool) -> dict[str, str]:
    if was_moved:
        return {"client": "its secret was removed"}
    return {"client": "it has another secret"} if secret else {}
