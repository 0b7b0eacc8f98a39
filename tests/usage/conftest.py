from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.accounts.models import ApiKey, Client, Team
from apps.billing.models import Price, PriceBook, PricingTier
from apps.providers.models import Deployment, Provider
from apps.usage import error_review
from apps.usage.journal import Journal
from tests.usage.world import World


@pytest.fixture
def world(db, tmp_path: Path) -> World:
    """One client whose rows the sample records name."""
    folder = tmp_path / "journal"
    folder.mkdir()
    book = PriceBook.objects.create(name="list")
    Price.objects.create(
        pk=61, book=book, model="gpt-4o-mini", input_nano=150_000_000, output_nano=600_000_000
    )
    tier = PricingTier.objects.create(pk=41, name="standard", price_book=book)
    team = Team.objects.create(pk=31, name="research")
    client = Client.objects.create(pk=21, name="notebook", team=team, tier=tier)
    ApiKey.objects.create(pk=11, client=client, name="ci", digest="d" * 64, hint="cv_…d")
    provider = Provider.objects.create(pk=71, name="openai", family="openai")
    Deployment.objects.create(
        pk=51, name="gpt-4o-mini@openai", provider=provider, model="gpt-4o-mini"
    )
    return World(folder)


@pytest.fixture
def journal(world: World) -> Iterator[Journal]:
    journal = world.open_journal()
    yield journal
    journal.close()


@pytest.fixture(autouse=True)
def reviews(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """Which reviews of errors were asked for; none is sent."""
    asked: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(error_review.asker, "ask", lambda *cause: asked.append(cause))
    return asked
