"""A day of requests by two models of two teams, booked by ingest as in production."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from apps.accounts.models import ApiKey, Client, Team
from apps.billing.models import Budget, Price
from apps.configuration import job_queue, jobs
from apps.configuration.models import JobRun
from apps.providers.adapters.contract import Usage
from apps.providers.models import Deployment
from apps.repricing import services, tasks
from apps.repricing.models import Repricing
from chatvault.lib.ids import uuid7_bytes
from tests.usage.conftest import reviews, world
from tests.usage.samples import AT_MS, intent, settle, start
from tests.usage.world import World

__all__ = ["reviews", "world"]

DAY = datetime(2026, 9, 21, tzinfo=UTC)
NEXT_DAY = datetime(2026, 9, 22, tzinfo=UTC)
USAGE = Usage(input_tokens=1000, output_tokens=500)
COST = 450_000  # 1000 × $0.15 / 1M + 500 × $0.60 / 1M, in nano-USD


@pytest.fixture
def priced(world: World) -> World:
    """Three requests of the first team by gpt-4o-mini, two of the second by a model that had no
    price, one that was interrupted, one that failed."""
    Price.objects.update(valid_from=datetime(2026, 1, 1, tzinfo=UTC))
    team = Team.objects.create(pk=32, name="sales")
    client = Client.objects.create(pk=22, name="mailer", team=team, tier_id=41)
    ApiKey.objects.create(pk=12, client=client, name="live", digest="e" * 64, hint="cv_…e")
    Deployment.objects.create(pk=52, name="nova@openai", provider_id=71, model="nova")
    Budget.objects.create(team_id=31, amount_nano=10**9, period="month")
    for number in range(3):
        book(world, at_ms=AT_MS + number)
    for _ in range(2):
        book(
            world, {"client_id": 22, "team_id": 32, "key_id": 12, "alias": "nova"},
            deployment_id=52, price_id=0, cost_nano=0, charged_nano=0,
        )  # fmt: skip
    book(world, outcome="interrupted", cost_nano=100_000, charged_nano=100_000)
    book(world, outcome="error", usage=Usage(), usage_source="none", cost_nano=0, charged_nano=0)
    world.ingest()
    return world


def book(
    world: World, changes: dict[str, Any] | None = None, at_ms: int = AT_MS, **settled: Any
) -> bytes:
    one = uuid7_bytes()
    values = {"usage": USAGE, "cost_nano": COST, "charged_nano": COST}
    values |= {"deployment_id": 51, "price_id": 61} | settled
    began = start(one, deployment_id=values["deployment_id"], price_id=values["price_id"])
    world.write_dead(intent(one, at_ms=at_ms, **(changes or {})), began, settle(one, **values))
    return one


def prices_double() -> None:
    """As an admin does who finds that the price was wrong all along."""
    Price.objects.filter(pk=61).update(input_nano=300_000_000, output_nano=1_200_000_000)


def nova_is_priced() -> None:
    Price.objects.create(
        pk=62, book_id=Price.objects.get(pk=61).book_id, model="nova",
        valid_from=datetime(2026, 1, 1, tzinfo=UTC), input_nano=10**9, output_nano=10**9,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Messages that would be sent; the rows that wait are real."""
    sent: list[str] = []

    def send(row: JobRun) -> bool:
        sent.append(row.name)
        return True

    monkeypatch.setattr(job_queue, "send", send)
    return sent


def work() -> None:
    """Do every job that waits, as a worker does."""
    doing = {"check-repricing": tasks.check, "book-repricing": tasks.book,
             "undo-repricing": tasks.undo}  # fmt: skip
    while row := JobRun.objects.filter(state=JobRun.State.QUEUED).order_by("pk").first():
        message = type("Message", (), {"request": type("Request", (), {jobs.RUN_HEADER: row.pk})})
        doing[row.name].run.__func__(message, **row.arguments)


def begin(**changes: Any) -> Repricing:
    values = {"reason": "wrong price", "starts_at": DAY, "ends_at": NEXT_DAY} | changes
    made = services.begin(Repricing(**values), author=None, author_name="alice")
    work()
    made.refresh_from_db()
    return made


@pytest.fixture
def checked(priced: World) -> Iterator[Repricing]:
    """A dry run after both prices were put right."""
    prices_double()
    nova_is_priced()
    yield begin()
