"""Step 2. Who calls, and may they use this model? Ends in an identity or an error."""

from __future__ import annotations

from apps.accounts.credentials import INFERENCE, MAX_JWT_LENGTH, KeyRecord
from apps.gateway.callers import address_of, is_from
from apps.gateway.contracts import GatewayRequest, Identity, Offer
from apps.gateway.plane import DataPlane
from chatvault.lib import clock
from chatvault.lib.errors import (
    KeyDisabled,
    ModelNotAllowed,
    ModelNotFound,
    NetworkNotAllowed,
    ScopeMissing,
    Unauthenticated,
)
from chatvault.lib.redact import mask

MAX_TOKEN_BYTES = MAX_JWT_LENGTH


async def authenticate(request: GatewayRequest, plane: DataPlane) -> Identity:
    """Raises Unauthenticated (401), KeyDisabled, NetworkNotAllowed, ScopeMissing (403),
    TooManyAttempts (429) or KeysUnavailable (503)."""
    token = request.token
    if not token or len(token) > MAX_TOKEN_BYTES:
        raise Unauthenticated
    key = plane.keys.find(token) or await _look_up(request, token, plane)
    if key.expires_at_s is not None and key.expires_at_s <= clock.wall_s():
        raise Unauthenticated
    identity = plane.view.identity_of(key)
    if identity is None:  # made a moment ago; its client comes with the next snapshot
        raise KeyDisabled
    if not (key.is_active and identity.client.is_active):
        raise KeyDisabled
    if key.networks:
        _check_network(request, key, plane)
    if INFERENCE not in key.scopes:
        raise ScopeMissing
    return identity


async def _look_up(request: GatewayRequest, token: bytes, plane: DataPlane) -> KeyRecord:
    """What is not fresh here. Strangers who are refused again and again are refused before
    anything is hashed or asked; a key that was good here never waits for its neighbours."""
    if plane.keys.is_known(token):
        return await plane.keys.get(token)
    caller = address_of(request.peer, request.forwarded, plane.options.trusted_proxies)
    address = str(caller) if caller is not None else ""
    plane.failures.check(address, token)
    try:
        return await plane.keys.get(token)
    except Unauthenticated:
        plane.failures.note(address, token)
        raise


def _check_network(request: GatewayRequest, key: KeyRecord, plane: DataPlane) -> None:
    caller = address_of(request.peer, request.forwarded, plane.options.trusted_proxies)
    if not is_from(caller, key.networks):
        raise NetworkNotAllowed


def authorise(request: GatewayRequest, identity: Identity, plane: DataPlane) -> Offer:
    """The alias that was asked for. Raises ModelNotFound (404) or ModelNotAllowed (403)."""
    name = request.alias
    offer = plane.view.offer_of(name, identity.client.book_id)
    if offer is None:
        raise ModelNotFound(
            f"The model '{mask(name)}' does not exist. GET /v1/models lists those that the key "
            "may use.",
            param="model",
        )
    if not may_use(identity, name):
        raise ModelNotAllowed(f"The key may not use the model '{name}'.", param="model")
    return offer


def may_use(identity: Identity, alias: str) -> bool:
    """Both the client's list and the key's own, where it has one, must name the alias."""
    of_client, of_key = identity.client.aliases, identity.key.aliases
    return (of_client is None or alias in of_client) and (of_key is None or alias in of_key)
