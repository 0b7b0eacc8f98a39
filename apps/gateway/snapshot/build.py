"""From rows to the snapshot, in a fixed number of queries."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Model, Prefetch, Q

from apps.accounts import models as accounts
from apps.accounts import signing
from apps.billing import budget_limits, quota_uses
from apps.billing import models as billing
from apps.billing.limits import ScopeLimits
from apps.billing.pricing import Price, Terms
from apps.configuration import revisions
from apps.gateway.snapshot.model import Alias, Client, Deployment, Snapshot, Target
from apps.gateway.strategies import ORDERED, STRATEGIES
from apps.providers import models as providers
from apps.providers import services as provider_services
from apps.providers.adapters.registry import FAMILIES
from chatvault.lib import clock
from chatvault.lib.errors import UpstreamForbidden

log = logging.getLogger(__name__)


def build_snapshot() -> Snapshot:
    """The configuration as it is now.

    The version is read first: a change that commits meanwhile may be in the rows already, and is
    then built once more under its own version, but never missed.
    """
    version = revisions.latest_id()
    limits, has_provider_budgets = _limits()
    deployments, unusable = _deployments()
    return Snapshot(
        version=version,
        built_at_s=clock.wall_s(),
        deployments=deployments,
        aliases=_aliases(deployments),
        prices=_prices(clock.now()),
        clients=_clients(limits),
        key_limits=limits["key"],
        user_limits=limits["user"],
        alias_limits=limits["alias"],
        provider_limits=limits["provider"],
        has_provider_budgets=has_provider_budgets,
        tag_limits=limits["tag"],
        unusable=unusable,
        issuers=signing.issuers(),
    )


def build_for(client: accounts.Client) -> Snapshot:
    """What one client is offered, without the limits: for questions that are asked now and then."""
    version = revisions.latest_id()
    deployments, unusable = _deployments()
    return Snapshot(
        version=version,
        built_at_s=clock.wall_s(),
        deployments=deployments,
        aliases=_aliases(deployments),
        prices=_prices(clock.now()),
        clients={client.pk: _client(client, defaultdict(dict))},
        unusable=unusable,
    )


def _deployments() -> tuple[dict[int, Deployment], frozenset[int]]:
    """Those that can serve, and the ids of those whose rows nobody could have saved."""
    rows = (
        providers.Deployment.objects.filter(is_active=True, provider__is_active=True)
        .filter(Q(credential=None) | Q(credential__is_active=True))
        .select_related("provider", "credential__provider")
    )
    made = {row.pk: _deployment(row) for row in rows}
    usable = {pk: each for pk, each in made.items() if each is not None}
    return usable, frozenset(made.keys() - usable.keys())


def _deployment(row: providers.Deployment) -> Deployment | None:
    provider, credential = row.provider, row.credential
    try:
        origin = provider_services.origin_of(provider)
    except UpstreamForbidden as forbidden:
        log.warning("%s is left out: %s", row.name, forbidden.message)
        return None
    if provider.family not in FAMILIES:
        log.warning("%s is left out: there is no family %r", row.name, provider.family)
        return None
    if credential is not None and credential.provider_id != provider.pk:
        log.warning("%s is left out: its credential is another provider's", row.name)
        return None
    return Deployment(
        id=row.pk,
        name=row.name,
        provider=provider.name,
        family=provider.family,
        base_url=provider.base_url.rstrip("/"),
        model=row.model,
        options=provider.options,
        stored_secret=provider_services.stored_for(credential, origin) if credential else "",
        credential_id=credential.pk if credential else 0,
        origin=origin,
        max_output_tokens=row.max_output_tokens,
        connect_timeout_s=provider.connect_timeout_s,
        first_byte_timeout_s=provider.first_byte_timeout_s,
        provider_id=provider.pk,
    )


def _aliases(deployments: dict[int, Deployment]) -> dict[str, Alias]:
    targets = providers.Target.objects.order_by("position", "pk")
    rows = providers.Alias.objects.filter(is_active=True)
    return {
        row.name: Alias(
            id=row.pk,
            name=row.name,
            strategy=row.strategy if row.strategy in STRATEGIES else ORDERED,
            created_s=int(row.created_at.timestamp()),
            targets=tuple(
                Target(deployment_id=each.deployment_id, weight=each.weight, position=each.position)
                for each in row.targets.all()
                if each.deployment_id in deployments
            ),
        )
        for row in rows.prefetch_related(Prefetch("targets", targets))
    }


def _prices(now: datetime) -> dict[int, dict[str, tuple[Price, ...]]]:
    books: dict[int, dict[str, tuple[Price, ...]]] = defaultdict(dict)
    rows = billing.Price.objects.filter(Q(valid_to=None) | Q(valid_to__gt=now))
    for row in rows.order_by("-valid_from", "-pk"):
        try:
            version = row.version()
        except ValueError as damage:
            log.warning("Price %s (%s) is left out: %s", row.pk, row.model, damage)
            continue
        of_model = books[row.book_id].get(row.model, ())
        books[row.book_id][row.model] = (*of_model, version)
    return dict(books)


def _clients(limits: dict[str, dict[int, ScopeLimits]]) -> dict[int, Client]:
    aliases = providers.Alias.objects.only("name")
    rows = accounts.Client.objects.select_related("team", "tier__current_terms").prefetch_related(
        Prefetch("aliases", aliases)
    )
    return {row.pk: _client(row, limits) for row in rows}


def _client(row: accounts.Client, limits: dict[str, dict[int, ScopeLimits]]) -> Client:
    names = frozenset(alias.name for alias in row.aliases.all())
    scopes = (limits["client"].get(row.pk), limits["team"].get(row.team_id))
    terms = _terms(row.tier)
    return Client(
        id=row.pk,
        name=row.name,
        team_id=row.team_id,
        team=row.team.name,
        is_active=row.is_active and row.team.is_active,
        book_id=row.tier.price_book_id if row.tier and terms is not None else None,
        terms=terms or Terms(),
        aliases=None if row.may_use_all_aliases else names,
        scopes=tuple(scope for scope in scopes if scope is not None),
    )


def _terms(tier: billing.PricingTier | None) -> Terms | None:
    """None: they are damaged, and nothing is priced by them."""
    if tier is None:
        return Terms()
    try:
        return tier.terms()
    except ValueError as damage:
        log.warning("The terms of tier %s are left out: %s", tier.name, damage)
        return None


def _limits() -> tuple[dict[str, dict[Any, ScopeLimits]], bool]:
    """Active limits by kind of scope and its id, of tags by their text; and whether there are
    budgets of providers, which are followed apart."""
    overrides: dict[int, list[billing.QuotaOverride]] = defaultdict(list)
    now = clock.now()
    for row in billing.QuotaOverride.objects.to_come(now).order_by("starts_at", "pk"):
        overrides[row.quota_id].append(row)
    quotas = _by_scope(billing.Quota.objects.filter(is_active=True).order_by("pk"))
    rows = billing.Budget.objects.filter(is_active=True).select_related("alias").order_by("pk")
    of_all = list(rows)
    active = [row for row in of_all if row.provider_id is None]
    limit_of = {limit.id: limit for limit in budget_limits.limits_of(active, now)}
    budgets = _by_scope(active)
    found: dict[str, dict[Any, ScopeLimits]] = {kind: {} for kind in billing.BUDGET_SCOPES}
    for kind, scope_id in dict.fromkeys([*quotas, *budgets]):
        of_scope = tuple(limit_of[row.pk] for row in budgets[kind, scope_id])
        found[kind][scope_id] = ScopeLimits(
            kind=kind,
            id=scope_id if kind != "tag" else 0,
            quotas=(
                *(quota_uses.limit_of(row, overrides[row.pk]) for row in quotas[kind, scope_id]),
                *budget_limits.pace_quotas(of_scope),
            ),
            budgets=of_scope,
        )
    return found, len(active) < len(of_all)


def _by_scope(rows: Iterable[Model]) -> dict[tuple[str, Any], list[Any]]:
    found: dict[tuple[str, Any], list[Any]] = defaultdict(list)
    for row in rows:
        for kind in billing.SCOPES:
            scope_id = getattr(row, f"{kind}_id", None)
            if scope_id is not None:
                found[kind, scope_id].append(row)
        tag = getattr(row, "tag", "")
        if tag:
            found["tag", tag].append(row)
    return found
