"""The snapshot: all that the data plane follows, in one immutable object with a version.

It holds no secret in the clear: credentials are sealed or references, and are opened when a
gateway adopts the snapshot. It is what lies on local disk as the last good copy.
"""

from __future__ import annotations

from typing import Any

import msgspec

from apps.accounts.tokens import TokenIssuer
from apps.billing.limits import ScopeLimits
from apps.billing.pricing import Price, Terms


class Deployment(msgspec.Struct, frozen=True):
    """A provider's model, ready to be called. Only active ones of active providers are here."""

    id: int
    name: str
    provider: str
    family: str
    base_url: str  # without a trailing slash
    model: str
    options: dict[str, Any] = {}
    stored_secret: str = ""  # sealed or a reference; "" for providers that need none
    credential_id: int = 0
    origin: str = ""  # scheme://host:port that the secret is bound to
    max_output_tokens: int | None = None
    connect_timeout_s: float | None = None
    first_byte_timeout_s: float | None = None
    provider_id: int = 0


class Target(msgspec.Struct, frozen=True):
    deployment_id: int
    weight: int = 1
    position: int = 0


class Alias(msgspec.Struct, frozen=True):
    """A model name of ours. Targets are ordered by position; inactive deployments are left out."""

    id: int
    name: str
    strategy: str  # weighted | ordered
    created_s: int
    targets: tuple[Target, ...] = ()


class Client(msgspec.Struct, frozen=True):
    """A client and what it may do, its team's rules included."""

    id: int
    name: str
    team_id: int
    team: str
    is_active: bool  # the client and its team
    book_id: int | None  # None: nothing is priced
    terms: Terms
    aliases: frozenset[str] | None  # None: every alias
    scopes: tuple[ScopeLimits, ...] = ()  # of the client and its team, where they have limits


class Snapshot(msgspec.Struct, frozen=True):
    version: int  # the revision's id
    built_at_s: float
    deployments: dict[int, Deployment] = {}
    aliases: dict[str, Alias] = {}  # active ones, by name
    prices: dict[int, dict[str, tuple[Price, ...]]] = {}  # book id, model: newest start first
    clients: dict[int, Client] = {}
    key_limits: dict[int, ScopeLimits] = {}  # by key id, where the key has limits of its own
    user_limits: dict[int, ScopeLimits] = {}  # of the people whose tokens call
    alias_limits: dict[int, ScopeLimits] = {}
    provider_limits: dict[int, ScopeLimits] = {}
    has_provider_budgets: bool = False  # which are followed apart: see `providers_held`
    tag_limits: dict[str, ScopeLimits] = {}  # by key=value
    unusable: frozenset[int] = frozenset()  # deployments that are active and make no sense
    issuers: tuple[TokenIssuer, ...] = ()  # whose JWTs are believed, with their public keys
