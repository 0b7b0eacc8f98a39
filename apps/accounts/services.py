"""What is done to clients and keys. Every verb announces the keys that it concerns and leaves an
event in the audit trail, in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Q

from apps.accounts import credentials, errors, grants, key_fields, keys
from apps.accounts.models import ApiKey, Client, Team
from apps.audit import trail
from apps.configuration import announce
from chatvault.lib import clock
from chatvault.lib.redact import Secret

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from apps.accounts.models import User
    from apps.accounts.principals import Principal
    from apps.providers.models import Alias

TOPIC = "accounts.key"
HOLDER_TOPIC = "accounts.holder"
_ANNOUNCED_ONE_BY_ONE = 100


@dataclass(frozen=True)
class IssuedKey:
    """A key and its secret, which exists nowhere else: show it once."""

    key: ApiKey
    secret: Secret


@transaction.atomic
def issue_key(
    *,
    client: Client,
    name: str,
    actor: User | None,
    secret: Secret | None = None,
    expires_at: datetime | None = None,
    aliases: Iterable[Alias] = (),
    is_active: bool = True,
    scopes: Iterable[str] = (credentials.INFERENCE,),
    networks: Iterable[str] = (),
    labels: Mapping[str, str] | None = None,
    who: Principal | None = None,
    predecessor: ApiKey | None = None,
) -> IssuedKey:
    """A new key of `client`; without a given `secret` one is made. `who` grants it, and grants no
    more than they have; without one it is the installation's own doing.

    Raises KeyTooWeak, KeyTaken, KeyNameTaken, FieldWrong or GrantExceeded.
    """
    secret = secret or Secret(credentials.issue_secret())
    digest, *others = digests_of(secret)
    if ApiKey.objects.filter(client=client, name=name).exists():
        raise errors.KeyNameTaken
    if ApiKey.objects.filter(digest__in=[digest, *others]).exists():
        raise errors.KeyTaken
    chosen = list(aliases)
    key = ApiKey(
        client=client,
        name=name,
        digest=digest,
        pepper=keys.pepper_number(),
        hint=credentials.hint_of(secret.reveal()),
        expires_at=expires_at,
        is_active=is_active,
        scopes=key_fields.read_scopes(scopes),
        networks=key_fields.read_networks(networks),
        labels=key_fields.read_labels(labels or {}),
        predecessor=predecessor,
        created_by=actor,
    )
    if who is not None:
        check_grant(who, key, chosen)
    key.save(force_insert=True)
    key.aliases.set(chosen)
    announce.after_commit(TOPIC, digest)
    trail.record("key.issued", target=key, after=told(key, chosen), team_id=client.team_id)
    return IssuedKey(key, secret)


def check_grant(who: Principal, key: ApiKey, aliases: list[Alias]) -> None:
    """Whether `who` may give a key all that it would have. Raises GrantExceeded."""
    grants.check_scopes(who, key.scopes, key.client.team_id)
    grants.check_aliases(key.client, aliases)
    grants.check_own_bounds(who, aliases=aliases, networks=key.networks, expires_at=key.expires_at)


def told(key: ApiKey, aliases: Iterable[Alias] | None = None) -> dict[str, Any]:
    """What the audit trail says of a key: all of it but its digest."""
    chosen = key.aliases.all() if aliases is None else aliases
    return {
        "name": key.name,
        "client": key.client.name,
        "hint": key.hint,
        "scopes": key.scopes,
        "networks": key.networks,
        "labels": key.labels,
        "models": sorted(alias.name for alias in chosen),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "is_active": key.is_active,
    }


@transaction.atomic
def change_key(
    *, key: ApiKey, who: Principal, changes: Mapping[str, Any], aliases: list[Alias] | None = None
) -> ApiKey:
    """Give fields of a key other values; those left out stay.

    Raises KeyRevoked, KeyNameTaken, FieldWrong or GrantExceeded.
    """
    if key.revoked_at is not None:
        raise errors.KeyRevoked
    before, chosen = told(key), list(key.aliases.all()) if aliases is None else aliases
    for name, value in changes.items():
        setattr(key, name, value)
    key.scopes = key_fields.read_scopes(key.scopes)
    key.networks = key_fields.read_networks(key.networks)
    key.labels = key_fields.read_labels(key.labels)
    same_name = ApiKey.objects.filter(client=key.client_id, name=key.name).exclude(pk=key.pk)
    if same_name.exists():
        raise errors.KeyNameTaken
    old, new = differing(before, told(key, chosen))
    _check_change(who, key, chosen, set(new))
    if "expires_at" in new and key.rotated_at is not None and _is_over(old["expires_at"]):
        raise errors.KeyRotated
    if changes:
        key.save(update_fields=[*changes])
    if aliases is not None:
        key.aliases.set(aliases)
    _announce([(key.pk, key.digest)])
    if new:
        trail.record("key.changed", target=key, before=old, after=new, team_id=key.client.team_id)
    return key


def _check_change(who: Principal, key: ApiKey, aliases: list[Alias], changed: set[str]) -> None:
    """What stays as it was is not granted by whoever changes the rest; but whoever lets a key work
    again, for longer or from elsewhere gives all that it may do."""
    if changed & {"scopes", "networks", "expires_at"} or ("is_active" in changed and key.is_active):
        grants.check_scopes(who, key.scopes, key.client.team_id)
    if "models" in changed:
        grants.check_aliases(key.client, aliases)
    if changed & {"models", "networks", "expires_at"}:
        grants.check_own_bounds(
            who, aliases=aliases, networks=key.networks, expires_at=key.expires_at
        )


def _is_over(moment: str | None) -> bool:
    return moment is not None and datetime.fromisoformat(moment) <= clock.now()


def differing(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of it was, and is, where the two differ."""
    names = [name for name in after if before.get(name) != after[name]]
    return {name: before.get(name) for name in names}, {name: after[name] for name in names}


@transaction.atomic
def replace_secret(*, key: ApiKey, secret: Secret) -> None:
    """From now on `secret` is the key and the old one is unknown.

    Raises KeyTooWeak, KeyTaken or KeyRevoked.
    """
    if key.revoked_at is not None:
        raise errors.KeyRevoked
    digest, *others = digests_of(secret)
    same = ApiKey.objects.filter(digest__in=[digest, *others])
    if same.exclude(pk=key.pk).exists():
        raise errors.KeyTaken
    old = key.digest
    before = {"hint": key.hint}
    key.digest, key.hint = digest, credentials.hint_of(secret.reveal())
    key.digest_scheme, key.pepper = ApiKey.Scheme.HMAC, keys.pepper_number()
    key.save(update_fields=["digest", "hint", "digest_scheme", "pepper"])
    trail.record(
        "key.secret_replaced",
        target=key,
        before=before,
        after={"hint": key.hint},
        team_id=key.client.team_id,
    )
    for each in {old, digest}:
        _announce([(key.pk, each)])


def digest_of(secret: Secret) -> str:
    """The digest of a key that is fit to be one. Raises KeyTooWeak."""
    return digests_of(secret)[0]


def digests_of(secret: Secret) -> list[str]:
    """All digests that it may be stored under, the one for new keys first. Raises KeyTooWeak."""
    try:
        token = secret.reveal().encode("ascii")
    except UnicodeEncodeError:
        raise errors.KeyTooWeak from None
    if not credentials.is_well_formed(token):
        raise errors.KeyTooWeak
    return keys.digests_of(secret)


def enable_keys(*, keys: QuerySet[ApiKey], actor: User | None) -> int:
    """Keys that were disabled work again; revoked ones never do. How many changed."""
    return _update("key.enabled", keys.filter(is_active=False, revoked_at=None), is_active=True)


def disable_keys(*, keys: QuerySet[ApiKey], actor: User | None) -> int:
    """The keys are refused until they are enabled. How many changed."""
    return _update("key.disabled", keys.filter(is_active=True), is_active=False)


def revoke_keys(*, keys: QuerySet[ApiKey], actor: User | None) -> int:
    """The keys are refused for good. How many changed."""
    live = keys.filter(revoked_at=None)
    return _update("key.revoked", live, revoked_at=clock.now(), is_active=False)


def extend_keys(*, keys: QuerySet[ApiKey], until: datetime) -> int:
    """Keys that would end earlier end at `until`. Keys without an end, revoked ones and those
    whose grace after a rotation has passed stay as they are. How many changed."""
    over = Q(rotated_at__isnull=False, expires_at__lte=clock.now())
    chosen = keys.filter(revoked_at=None, expires_at__lt=until).exclude(over)
    return _update("key.extended", chosen, expires_at=until)


@transaction.atomic
def suspend_clients(*, clients: QuerySet[Client], actor: User | None) -> int:
    """All keys of the clients are refused. How many clients changed."""
    return _switch(clients, is_active=False)


@transaction.atomic
def resume_clients(*, clients: QuerySet[Client], actor: User | None) -> int:
    """The clients' keys work again. How many clients changed."""
    return _switch(clients, is_active=True)


@transaction.atomic
def switch_teams(*, teams: QuerySet[Team], is_active: bool) -> int:
    """Keys of the teams' clients work, or are refused. How many teams changed."""
    chosen = list(teams.exclude(is_active=is_active).order_by().values_list("pk", flat=True))
    Team.objects.filter(pk__in=chosen).update(is_active=is_active)
    for team in Team.objects.filter(pk__in=chosen):
        _tell_switch("team", team, team.pk, is_active=is_active)
    if chosen:
        announce_keys(ApiKey.objects.filter(client__team__in=chosen))
        announce_holders("team", chosen)
    return len(chosen)


@transaction.atomic
def announce_keys(keys: QuerySet[ApiKey]) -> None:
    """Every process asks anew about these keys; call it after changing their rows."""
    _announce(list(keys.order_by().values_list("pk", "digest")))


@transaction.atomic
def announce_holders(kind: str, ids: Iterable[int]) -> None:
    """Every process asks anew about all credentials, tokens too, of these users, clients, teams,
    applications or sessions."""
    for one in ids:
        announce.after_commit(HOLDER_TOPIC, f"{kind}:{one}")


@transaction.atomic
def _update(action: str, chosen: QuerySet[ApiKey], **values: Any) -> int:
    rows = list(chosen.order_by().select_related("client"))
    if not rows:
        return 0
    ApiKey.objects.filter(pk__in=[key.pk for key in rows]).update(**values)
    _announce([(key.pk, key.digest) for key in rows])
    for key in rows:
        before = {name: getattr(key, name) for name in values}
        trail.record(action, target=key, before=before, after=values, team_id=key.client.team_id)
    return len(rows)


def _switch(clients: QuerySet[Client], *, is_active: bool) -> int:
    chosen = list(clients.exclude(is_active=is_active).order_by().values_list("pk", flat=True))
    Client.objects.filter(pk__in=chosen).update(is_active=is_active)
    for client in Client.objects.filter(pk__in=chosen):
        _tell_switch("client", client, client.team_id, is_active=is_active)
    if chosen:
        announce_keys(ApiKey.objects.filter(client__in=chosen))
        announce_holders("client", chosen)
    return len(chosen)


def _tell_switch(kind: str, row: Client | Team, team_id: int, *, is_active: bool) -> None:
    verb = "resumed" if is_active else "suspended"
    values = {"is_active": is_active}
    trail.record(
        f"{kind}.{verb}",
        target=row,
        before={"is_active": not is_active},
        after=values,
        team_id=team_id,
    )


def _announce(keys: list[tuple[int, str]]) -> None:
    """By the digest, which may be remembered as unknown, and by the id: a process that knew the
    key before it moved to another pepper knows it under another digest."""
    if len(keys) > _ANNOUNCED_ONE_BY_ONE:
        announce.after_commit(TOPIC)
        return
    for pk, digest in keys:
        announce.after_commit(TOPIC, digest)
        announce.after_commit(HOLDER_TOPIC, f"key:{pk}")
