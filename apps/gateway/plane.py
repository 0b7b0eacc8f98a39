"""The data plane of one process: the one object that every step is given."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import msgspec

from apps.accounts.credentials import KeyRecord
from apps.accounts.failures import failures_of
from apps.accounts.key_cache import KeyCache
from apps.accounts.tokens import Verifier
from apps.billing.limits import Limits, ScopeLimits
from apps.billing.pricing import Price
from apps.gateway.breaker import Breaker, RetryBudget
from apps.gateway.callers import Network
from apps.gateway.contracts import Candidate, Identity, Offer
from apps.gateway.dry_run_pace import DryRunPace
from apps.gateway.gate import Gate, GateOptions
from apps.gateway.metrics import Metrics
from apps.gateway.providers_held import ProviderLimits
from apps.gateway.quota_counts import QuotaCounts
from apps.gateway.refusals import Refusals
from apps.gateway.snapshot.model import Client, Deployment, Snapshot
from apps.providers.adapters.contract import Endpoint
from apps.providers.upstream import Deadlines, UpstreamPool
from apps.usage.journal import Journal
from chatvault.lib import clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from apps.gateway.meter import Meter
    from apps.gateway.tracing import Tracer

FOREVER_S = float("inf")
MOST_JOINED = 10_000
Scopes = tuple[ScopeLimits, ...]


class PlaneOptions(msgspec.Struct, frozen=True):
    """Typed settings of the data plane; seconds, bytes and tokens as named."""

    pepper: bytes
    older_peppers: tuple[bytes, ...] = ()  # under which keys may still be stored
    max_body_bytes: int = 20 * 2**20
    max_header_bytes: int = 32 * 2**10
    default_max_output_tokens: int = 4096
    budget_exhausted_status: int = 402
    max_attempts: int = 3
    connect_timeout_s: float = 3.0
    first_byte_timeout_s: float = 60.0
    idle_timeout_s: float = 60.0
    total_timeout_s: float = 600.0
    gate: GateOptions = GateOptions()
    trusted_proxies: tuple[Network, ...] = ()
    failures_per_address: tuple[int, int] | None = None  # how many in how many seconds
    failures_per_prefix: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return "PlaneOptions(…)"  # the pepper is a secret


class View:
    """A snapshot made ready: secrets opened, identities and offers worked out once."""

    __slots__ = (
        "_default_output",
        "_identities",
        "_joined",
        "_of_providers",
        "_offers",
        "_scopes",
        "deadlines",
        "endpoints",
        "snapshot",
        "verifier",
    )

    def __init__(
        self, snapshot: Snapshot, endpoints: dict[int, Endpoint], options: PlaneOptions
    ) -> None:
        self.snapshot = snapshot
        self.endpoints = endpoints  # by deployment id; those whose secret opened
        self.verifier = Verifier(snapshot.issuers)
        self.deadlines = {
            deployment.id: deadlines_of(deployment, options)
            for deployment in snapshot.deployments.values()
        }
        self._default_output = options.default_max_output_tokens
        self._identities: dict[tuple[str, int, int, int], Identity] = {}
        self._offers: dict[tuple[str, int | None], Offer] = {}
        self._scopes: dict[tuple[int, int, int], Scopes] = {}
        self._joined: dict[tuple[int, ...], tuple[Scopes, Scopes]] = {}
        self._of_providers = {
            provider_id: (limits,) for provider_id, limits in snapshot.provider_limits.items()
        }

    def identity_of(self, key: KeyRecord) -> Identity | None:
        """Key and client with their rules; None when the client is not in this snapshot."""
        place = (key.kind, key.key_id or key.session_id, key.user_id, key.application_id)
        known = self._identities.get(place)
        if known is not None and known.key is key:
            return known
        client = self.snapshot.clients.get(key.client_id)
        if client is None:
            return None
        scopes = self._scopes_of(key, client)
        has_budget = any(scope.budgets for scope in scopes)
        identity = Identity(key=key, client=client, scopes=scopes, has_budget=has_budget)
        self._identities[place] = identity
        return identity

    def _scopes_of(self, key: KeyRecord, client: Client) -> Scopes:
        """One tuple for all credentials with the same limits: what is worked out of it is kept."""
        own = self.snapshot.key_limits.get(key.key_id)
        person = self.snapshot.user_limits.get(key.user_id)
        if own is None and person is None:
            return client.scopes
        place = (own.id if own else 0, person.id if person else 0, client.id)
        scopes = self._scopes.get(place)
        if scopes is None:
            front = [limits for limits in (own, person) if limits is not None]
            scopes = self._scopes[place] = (*front, *client.scopes)
        return scopes

    def scopes_of(
        self, identity: Identity, offer: Offer, tags: tuple[tuple[str, str], ...] = ()
    ) -> Scopes:
        """All whose limits bind the request at its admission."""
        scopes = identity.scopes
        of_tags = self._limits_of_tags(tags) if tags and self.snapshot.tag_limits else ()
        if offer.limits is None and not of_tags:
            return scopes
        more = (offer.limits, *of_tags) if offer.limits is not None else of_tags
        place = (id(scopes), *[id(limits) for limits in more])
        known = self._joined.get(place)
        if known is None or known[0] is not scopes:
            if len(self._joined) >= MOST_JOINED:
                self._joined.clear()
            known = self._joined[place] = (scopes, (*scopes, *more))
        return known[1]

    def _limits_of_tags(self, tags: tuple[tuple[str, str], ...]) -> Scopes:
        """In one order, whatever order they were sent in; each once."""
        texts = sorted({f"{key}={value}" for key, value in tags})
        found = self.snapshot.tag_limits
        return tuple([found[text] for text in texts if text in found])

    def offer_of(self, alias_name: str, book_id: int | None) -> Offer | None:
        """The candidates of an alias at a book's prices of now; None for an unknown alias."""
        key = (alias_name, book_id)
        offer = self._offers.get(key)
        if offer is not None and clock.wall_s() < offer.valid_until_s:
            return offer
        alias = self.snapshot.aliases.get(alias_name)
        if alias is None:
            return None
        offer = self._offers[key] = self._work_out(alias_name, book_id)
        return offer

    def _work_out(self, alias_name: str, book_id: int | None) -> Offer:
        alias = self.snapshot.aliases[alias_name]
        book = self.snapshot.prices.get(book_id, {}) if book_id is not None else {}
        now_s = clock.wall_s()
        until_s = FOREVER_S
        candidates = []
        for target in alias.targets:
            deployment = self.snapshot.deployments.get(target.deployment_id)
            endpoint = self.endpoints.get(target.deployment_id)
            if deployment is None or endpoint is None:
                continue
            current, changes_at_s = _price_of(deployment, book.get(deployment.model, ()), now_s)
            until_s = min(until_s, changes_at_s)
            labels = (
                (b"x-chatvault-alias", alias_name.encode()),
                (b"x-chatvault-deployment", deployment.name.encode()),
            )
            of_provider = self._of_providers.get(deployment.provider_id, ())
            candidates.append(
                Candidate(deployment, endpoint, target.weight, current, labels, of_provider)
            )
        return Offer(
            alias=alias,
            candidates=tuple(candidates),
            is_priced=all(candidate.price for candidate in candidates),
            most_output=max(
                (c.deployment.max_output_tokens or self._default_output for c in candidates),
                default=0,
            ),
            valid_until_s=until_s,
            limits=self.snapshot.alias_limits.get(alias.id),
        )


def _price_of(
    deployment: Deployment, prices: tuple[Price, ...], now_s: float
) -> tuple[Price | None, float]:
    """The price that holds, the deployment's own before the model's, and until when it may."""
    own = general = None
    until_s: float = FOREVER_S
    for price in prices:
        if price.deployment_id not in (None, deployment.id):
            continue
        if price.valid_from_s > now_s:
            until_s = min(until_s, price.valid_from_s)
        elif price.valid_to_s is None or price.valid_to_s > now_s:
            if price.deployment_id is not None:
                own = own or price
            else:
                general = general or price
            until_s = min(until_s, price.valid_to_s or FOREVER_S)
    return own or general, until_s


def deadlines_of(deployment: Deployment, options: PlaneOptions) -> Deadlines:
    return Deadlines(
        connect_s=deployment.connect_timeout_s or options.connect_timeout_s,
        first_byte_s=deployment.first_byte_timeout_s or options.first_byte_timeout_s,
        idle_s=options.idle_timeout_s,
        total_s=options.total_timeout_s,
    )


class DataPlane:
    """Holds what the steps share; made inside the event loop that will serve.

    Swapping `view` is the whole of a configuration change.
    """

    def __init__(
        self,
        *,
        options: PlaneOptions,
        view: View,
        keys: KeyCache,
        limits: Limits,
        journal: Journal,
        pool: UpstreamPool,
        metrics: Metrics | None = None,
        dice: random.Random | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()  # everything here belongs to it
        self.options = options
        self.view = view
        self.keys = keys
        self.limits = limits
        self.journal = journal
        self.pool = pool
        self.metrics = metrics or Metrics()
        self.refusals = Refusals()
        self.failures = failures_of(options.failures_per_address, options.failures_per_prefix)
        self.quota_counts = QuotaCounts()
        self.provider_limits = ProviderLimits(limits)
        self.dry_runs = DryRunPace()
        self.gate = Gate(options.gate, self.metrics)
        self.dice = dice or random.Random()  # noqa: S311 – it spreads load, it keeps no secret
        self.breaker = Breaker()
        self.retries = RetryBudget()
        self.is_draining = False
        self.followed_at = clock.monotonic()  # when the view was last known to be the newest
        self.tracer: Tracer | None = None
        self.log_ratio = 0.0  # of the requests that get a line of the log each
        self.is_watched = False  # one of the two is on
        self.is_ending = False  # patience is over: what is cancelled now is cut off
        self.live: dict[bytes, Meter] = {}  # requests whose books are open, by id
        self.on_adopt: Callable[[View], None] | None = None

    async def renew_leases(self) -> None:
        """Keep the concurrency slots of the requests that still run."""
        for request_id, meter in list(self.live.items()):
            await self.limits.renew(request_id)
            if meter.provider_hold:
                await self.limits.renew(meter.provider_hold)

    def watch(self, tracer: Tracer | None, log_ratio: float) -> None:
        """Tell of requests from now on: in traces, in the log, in both or in neither."""
        self.tracer = tracer
        self.log_ratio = log_ratio
        self.is_watched = tracer is not None or log_ratio > 0

    def adopt(self, view: View) -> None:
        """Serve by another snapshot from the next request on."""
        self.view = view
        self.breaker.keep_only(view.snapshot.deployments)
        if self.on_adopt is not None:
            self.on_adopt(view)
