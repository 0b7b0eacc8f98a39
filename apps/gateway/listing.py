"""GET /v1/models and /v1/models/{id}: the aliases that a key may use, in OpenAI's shape."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.gateway.contracts import GatewayRequest, Headers
from apps.gateway.plane import DataPlane
from apps.gateway.reply import JSON, common_head
from apps.gateway.snapshot.model import Alias
from apps.gateway.steps.authenticate import authenticate, may_use
from chatvault.lib.errors import ModelNotFound
from chatvault.lib.redact import mask


async def answer_models(
    request: GatewayRequest, name: str, plane: DataPlane
) -> tuple[int, Headers, bytes]:
    """Status, head and body; `name` is "" for the list. Raises 401, and 404 for what is not
    there or not allowed: the two look the same."""
    identity = await authenticate(request, plane)
    request.key, request.alias = identity.key, name
    aliases = plane.view.snapshot.aliases
    if name:
        alias = aliases.get(name)
        if alias is None or not may_use(identity, name):
            request.alias = mask(name)
            raise ModelNotFound(f"The model '{request.alias}' does not exist.", param="model")
        body = msgspec.json.encode(_model(alias))
    else:
        rows = [_model(alias) for alias in aliases.values() if may_use(identity, alias.name)]
        body = msgspec.json.encode({"object": "list", "data": rows})
    head = common_head(request)
    head.append(JSON)
    head.append((b"content-length", b"%d" % len(body)))
    return 200, head, body


def _model(alias: Alias) -> dict[str, Any]:
    return {
        "id": alias.name,
        "object": "model",
        "created": alias.created_s,
        "owned_by": "chatvault",
    }
