"""The models that teams may use: whoever manages one gives its clients no others."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db.models import QuerySet

from apps.accounts.models import Client
from apps.accounts.principals import Principal
from apps.accounts.roles import Capability


def aliases_of(who: Principal, capability: Capability = Capability.CLIENTS_READ) -> QuerySet[Any]:
    """Aliases of all clients in the teams where it is held; every alias if it is everywhere."""
    every: QuerySet[Any] = apps.get_model("providers.Alias")._default_manager.all()
    teams = who.teams_with(capability)
    if teams is None or may_all(who, capability):
        return every
    clients = Client.objects.filter(team__in=teams).order_by()
    return every.filter(pk__in=clients.values("aliases"))


def may_all(who: Principal, capability: Capability = Capability.CLIENTS_READ) -> bool:
    """Whether every model is theirs, also those that are made later."""
    teams = who.teams_with(capability)
    if teams is None:
        return True
    return Client.objects.filter(team__in=teams, may_use_all_aliases=True).exists()
