"""Names of what a row refers to, looked up by the batch and remembered for half a minute."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from apps.accounts.models import ApiKey, Client, Team, User
from apps.providers.models import Deployment
from apps.usage.open_requests import Closed
from chatvault.lib import clock

KEEP_S: Final = 30.0


class Names:
    """Empty for what no longer exists: the row keeps the id."""

    def __init__(self) -> None:
        self._forget_at = 0.0
        self._forget()

    def load(self, batch: Collection[Closed]) -> None:
        """Look up what a batch needs and is not known yet; five queries at most."""
        if clock.monotonic() >= self._forget_at:
            self._forget()
        intents = [closed.request.intent for closed in batch]
        deployments = {closed.settle.deployment_id for closed in batch}
        for closed in batch:
            deployments.update(start.deployment_id for start in closed.request.starts.values())
        self._load_names(Team, self._teams, {intent.team_id for intent in intents})
        self._load_names(Client, self._clients, {intent.client_id for intent in intents})
        self._load_names(ApiKey, self._keys, {intent.key_id for intent in intents} - {0})
        self._load_users({intent.user_id for intent in intents} - {0})
        self._load_deployments(deployments - self._deployments.keys() - {0})

    def load_also(self, *, clients: set[int], deployments: set[int]) -> None:
        """Look up these, where they are not known yet; two queries at most."""
        self._load_names(Client, self._clients, clients - {0})
        self._load_deployments(deployments - self._deployments.keys() - {0})

    def team(self, pk: int) -> str:
        return self._teams.get(pk, "")

    def client(self, pk: int) -> str:
        return self._clients.get(pk, "")

    def key(self, pk: int) -> str:
        return self._keys.get(pk, "")

    def user(self, pk: int) -> str:
        return self._users.get(pk, "")

    def deployment(self, pk: int) -> tuple[str, str]:
        """The names of a deployment and of its provider."""
        return self._deployments.get(pk, ("", ""))

    def provider_id(self, deployment_id: int) -> int | None:
        return self._providers.get(deployment_id)

    def _forget(self) -> None:
        self._forget_at = clock.monotonic() + KEEP_S
        self._teams: dict[int, str] = {}
        self._clients: dict[int, str] = {}
        self._keys: dict[int, str] = {}
        self._users: dict[int, str] = {}
        self._deployments: dict[int, tuple[str, str]] = {}
        self._providers: dict[int, int] = {}  # by deployment

    def _load_names(
        self, model: type[Team | Client | ApiKey], known: dict[int, str], wanted: set[int]
    ) -> None:
        missing = wanted - known.keys()
        if missing:
            known.update(dict.fromkeys(missing, ""))
            found = model._default_manager.filter(pk__in=missing)
            known.update(found.values_list("pk", "name"))

    def _load_users(self, wanted: set[int]) -> None:
        missing = wanted - self._users.keys()
        if missing:
            self._users.update(dict.fromkeys(missing, ""))
            found = User.objects.filter(pk__in=missing)
            self._users.update(found.values_list("pk", "username"))

    def _load_deployments(self, missing: set[int]) -> None:
        if missing:
            self._deployments.update(dict.fromkeys(missing, ("", "")))
            found = Deployment.objects.filter(pk__in=missing)
            columns = ("pk", "name", "provider__name", "provider_id")
            for pk, name, provider, provider_id in found.values_list(*columns):
                self._deployments[pk] = (name, provider)
                self._providers[pk] = provider_id
