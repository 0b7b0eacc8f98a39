"""What the ids in a report are called now; what is gone has no name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from apps.accounts.models import ApiKey, Client, Team, User
from apps.providers.models import Deployment, Provider
from apps.usage.reports.query import IDS, Dimension, Value

D = Dimension
_MODELS: Final[dict[Dimension, tuple[Any, str]]] = {
    D.TEAM: (Team, "name"),
    D.CLIENT: (Client, "name"),
    D.KEY: (ApiKey, "name"),
    D.USER: (User, "username"),
    D.DEPLOYMENT: (Deployment, "name"),
    D.PROVIDER: (Provider, "name"),
}
_AT_ONCE: Final = 500


def names_of(dimension: Dimension, values: Iterable[Value]) -> dict[Value, str]:
    """By id; other dimensions are called what they are."""
    if dimension not in IDS:
        return {}
    model, field = _MODELS[dimension]
    ids = sorted({int(value) for value in values if value})
    found: dict[Value, str] = {}
    for at in range(0, len(ids), _AT_ONCE):
        rows = model._default_manager.filter(pk__in=ids[at : at + _AT_ONCE])
        found |= dict(rows.values_list("pk", field))
    return found
