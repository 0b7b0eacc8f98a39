"""Names of the values that reports are divided by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from apps.accounts.models import ApiKey, Client, Team, User
from apps.providers.models import Deployment, Provider
from apps.usage.reports.query import Dimension, Value

_TABLES: Final[dict[Dimension, tuple[Any, str]]] = {
    Dimension.TEAM: (Team, "name"),
    Dimension.CLIENT: (Client, "name"),
    Dimension.KEY: (ApiKey, "name"),
    Dimension.USER: (User, "username"),
    Dimension.DEPLOYMENT: (Deployment, "name"),
    Dimension.PROVIDER: (Provider, "name"),
}
_NOBODY: Final = {
    Dimension.USER: "(no person)",
    Dimension.KEY: "(no key: tokens)",
    Dimension.DEPLOYMENT: "(none called)",
    Dimension.PROVIDER: "(none called)",
}


def labels_of(dimension: Dimension, values: Iterable[Value]) -> dict[Value, str]:
    """One query. What no longer exists has its id."""
    wanted = set(values)
    if dimension not in _TABLES:
        return {value: str(value) or "(none)" for value in wanted}
    model, column = _TABLES[dimension]
    rows = model._default_manager.filter(pk__in=wanted).values_list("pk", column)
    names: dict[Value, str] = dict(rows)
    nobody = _NOBODY.get(dimension, "(none)")
    return {
        value: names.get(value) or (f"{dimension.value} {value}" if value else nobody)
        for value in wanted
    }
