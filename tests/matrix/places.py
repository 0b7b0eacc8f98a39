"""Two teams with one row of everything each. A model that cannot be filled in by the types of its
fields has its own line in `MADE`."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from django.db import models
from django.db.models import Model
from django_celery_beat.models import IntervalSchedule

from apps.accounts import permissions, signing
from apps.accounts.models import ApiKey, Client, Membership, Team, User
from apps.alerts.models import Alert, BudgetLines, Channel
from apps.billing.models import Budget, BudgetRaise, Quota, QuotaOverride
from apps.configuration.models import ScheduledJob
from apps.oauth import services
from chatvault.lib import clock
from tests.factories import (
    make_alias,
    make_bill,
    make_budget,
    make_client,
    make_credential,
    make_deployment,
    make_key,
    make_ledger_entry,
    make_price,
    make_quota,
    make_request,
    make_statement,
    make_team,
    make_user,
)
from tests.factories.alerts import make_alert, make_channel, make_delivery
from tests.factories.forecasts import make_forecast, make_what_if
from tests.factories.numbers import unique
from tests.factories.oauth import make_application, make_grant


class Place:
    """A team, and for each model a row of it; rows of the installation belong to both teams."""

    def __init__(self, word: str, shared: dict[str, Model]) -> None:
        self.word = word
        self.shared = shared
        self.team = make_team(name=f"{word}-team")
        self.client = make_client(team=self.team, name=f"{word}-client")
        issued = make_key(client=self.client, name=f"{word}-key")
        self.key, self.secret = issued.key, issued.secret.reveal()
        self.person = make_user(username=f"{word}-person")
        self.membership = Membership.objects.create(team=self.team, user=self.person, role="viewer")
        self._rows: dict[str, Model] = {
            "accounts.team": self.team,
            "accounts.client": self.client,
            "accounts.apikey": self.key,
            "accounts.user": self.person,
            "accounts.membership": self.membership,
        }

    def row(self, model: type[Model]) -> Model:
        """Raises LookupError where nobody said how one is made."""
        label = model._meta.label_lower
        if label not in self._rows:
            self._rows[label] = self._make(model, label)
        return self._rows[label]

    def _make(self, model: type[Model], label: str) -> Model:
        rows = permissions.rows_of(model)
        if rows is not None and not rows.is_of_teams:
            if label not in self.shared:
                make = SHARED.get(label)
                self.shared[label] = make() if make else self._filled(model, label)
            return self.shared[label]
        return MADE[label](self) if label in MADE else self._filled(model, label)

    def _filled(self, model: type[Model], label: str) -> Model:
        try:
            return model._default_manager.create(**self._values(model))
        except Exception as problem:
            raise LookupError(f"tests/matrix/places.py: say how to make {label}") from problem

    def _values(self, model: type[Model]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for field in model._meta.concrete_fields:
            if field.has_default() or field.db_default is not models.NOT_PROVIDED:
                continue
            if isinstance(field, models.ForeignKey):
                if not field.null or field.remote_field.model in (Team, Client, ApiKey, User):
                    found[field.name] = self.row(field.remote_field.model)
            elif field.name in ("team_id", "client_id", "key_id"):
                found[field.name] = self.row(OWNERS[field.name]).pk
            elif not field.null and not isinstance(field, models.AutoField):
                found[field.name] = _value(field)
        return found


_numbers: Final = itertools.count(1000)
OWNERS: Final[dict[str, Any]] = {"team_id": Team, "client_id": Client, "key_id": ApiKey}


def _value(field: Any) -> Any:
    if field.choices:
        return field.flatchoices[0][0]
    if isinstance(field, models.UUIDField):
        return uuid.uuid4()
    if isinstance(field, models.DateTimeField):
        return clock.now()
    if isinstance(field, models.DateField):
        return clock.now().date()
    if isinstance(field, models.BooleanField):
        return True
    if isinstance(field, models.JSONField):
        return {}
    if isinstance(field, models.URLField):
        return f"https://{unique('host').replace(' ', '')}.example"
    if isinstance(field, models.CharField | models.TextField):
        return unique("x")[: field.max_length or 64]
    if isinstance(field, models.BinaryField):
        return b"x"
    return next(_numbers) if field.primary_key else 1


def _job() -> Model:
    every = IntervalSchedule.objects.create(every=1, period="hours")
    return ScheduledJob.objects.create(name="job", task="task", interval=every)


SHARED: Final[dict[str, Callable[[], Model]]] = {
    "configuration.scheduledjob": _job,
    "accounts.signingkey": signing.signing_key,
    "providers.alias": make_alias,
    "providers.credential": make_credential,
    "providers.deployment": make_deployment,
    "billing.price": make_price,
    "invoicing.bill": make_bill,
}
MADE: Final[dict[str, Callable[[Place], Model]]] = {
    "oauth.application": lambda place: make_application(payer=place.client).application,
    "oauth.refreshtoken": lambda place: make_grant(payer=place.client, user=place.person),
    "oauth.accesstoken": lambda place: (
        make_grant(payer=place.client, user=place.person).access_token
    ),
    "oauth.initialaccesstoken": lambda place: services.issue_initial_token(
        name=unique("token"),
        payer=place.client,
        scopes=["inference"],
        expires_at=clock.now() + timedelta(days=1),
        max_uses=1,
        user=None,
    )[0],
    "alerts.channel": lambda place: make_channel(team=place.team),
    "alerts.alert": lambda place: make_alert(team_id=place.team.pk),
    "alerts.budgetlines": lambda place: BudgetLines.objects.create(
        budget=place.row(Budget), percents=[50, 100]
    ),
    "alerts.delivery": lambda place: make_delivery(
        channel=place.row(Channel), alert=place.row(Alert)
    ),
    "billing.quota": lambda place: make_quota(client=place.client),
    "billing.quotaoverride": lambda place: QuotaOverride.objects.create(
        quota=place.row(Quota),
        ceiling=9,
        starts_at=clock.now(),
        ends_at=clock.now() + timedelta(days=1),
        reason="a test",
        author_name="somebody",
    ),
    "billing.budget": lambda place: make_budget(client=place.client),
    "billing.budgetraise": lambda place: BudgetRaise.objects.create(
        budget=place.row(Budget),
        extra_nano=1,
        starts_at=clock.now(),
        ends_at=clock.now() + timedelta(days=1),
        reason="a test",
        author_name="somebody",
    ),
    "forecasts.budgetforecast": lambda place: make_forecast(budget=place.row(Budget)),
    "forecasts.whatif": lambda place: make_what_if(client=place.client),
    "billing.ledgerentry": lambda place: make_ledger_entry(
        team_id=place.team.pk, client_id=place.client.pk, key_id=place.key.pk
    ),
    "invoicing.statement": lambda place: make_statement(
        team_id=place.team.pk, team_name=place.team.name
    ),
    "usage.requestlog": lambda place: make_request(
        team_id=place.team.pk, client_id=place.client.pk, key_id=place.key.pk
    ),
}
