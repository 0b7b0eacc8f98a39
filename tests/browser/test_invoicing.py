"""From a provider's bill to the closed month, in a real browser."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from apps.configuration import job_queue
from apps.configuration.models import JobRun
from apps.invoicing import documents, months, tasks
from apps.invoicing.models import Bill, MonthClose, Statement
from chatvault.lib import clock
from tests.factories import World, make_world
from tests.invoicing.pdf import text_of
from tests.invoicing.world import at, roll_up, spend

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
NANO = 10**9


@pytest.fixture(autouse=True)
def _work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are done where they are sent: by the page's own thread, as a worker does them."""

    def perform(row: JobRun) -> bool:
        task = getattr(tasks, row.task.rpartition(".")[2])
        task.apply(kwargs=row.arguments, headers={"chatvault_run": row.pk})
        return True

    monkeypatch.setattr(job_queue, "send", perform)


def test_import_drift_adjust_statement_close(admin_page: Page, shoot: Any, tmp_path: Path):
    documents.prepare()
    admin_page.set_default_timeout(30_000)
    world = make_world(base_url="https://provider.example/v1")
    last = months.month_of(months.before(clock.now().date()))
    day = last.day
    for number in range(4):
        spend(world, at(day, 9 + number), cost=NANO, charged=2 * NANO)
        spend(world, at(day + timedelta(days=1), 9 + number), cost=2 * NANO, charged=3 * NANO)
    roll_up()
    model = world.deployment.model
    file = tmp_path / "provider.csv"
    rows = [f"{day},{model}-2024-07-18,5.5", f"{day + timedelta(days=1)},{model},8",
            f"{day},something-else,0.25"]  # fmt: skip
    file.write_text("date,model,amount\n" + "\n".join(rows))

    _import_and_adjust(admin_page, shoot, world, file)
    _issue(admin_page, shoot, world, last)
    _close(admin_page, shoot, last)
    assert MonthClose.objects.get().state == "closed"


def _import_and_adjust(page: Page, shoot: Any, world: World, file: Path) -> None:
    page.goto("/admin/invoicing/bill/import/")
    page.locator("select[name=provider]").select_option(label=world.provider.name)
    page.locator("select[name=form]").select_option("generic")
    page.locator("input[name=file]").set_input_files(file)
    shoot(page, "bill-import")
    page.locator("#asked button[type=submit]").click()
    expect(page.locator("#figures")).to_contain_text("Read: look at it, then accept it")
    expect(page.locator("#unmatched")).to_contain_text("something-else")
    shoot(page, "bill-preview")
    page.locator("#do-accept button").click()
    expect(page.locator("#matches")).to_contain_text("$1.50")
    page.get_by_role("link", name="Add a match rule").click()
    expect(page.locator("input[name=billed_model]")).to_have_value("something-else")
    page.locator("input[name=_save], button[name=_save]").first.click()
    bill = Bill.objects.get()
    page.goto(f"/admin/invoicing/bill/{bill.pk}/change/")
    page.locator("#do-compare button").click()
    expect(page.locator("#figures")).to_contain_text("beyond tolerance")
    shoot(page, "bill-drift")
    page.locator("#do-adjust input[name=reason]").fill("as billed")
    page.locator("#do-adjust button").click()
    expect(page.locator("#adjustments")).to_contain_text("$1.50 over 4 requests, booked")
    expect(page.locator("#figures")).to_contain_text("within tolerance")
    shoot(page, "bill-adjusted")
    page.goto("/admin/invoicing/bill/")
    expect(page.locator("#result_list")).to_contain_text("$13.50")
    shoot(page, "bills")


def _issue(page: Page, shoot: Any, world: World, last: months.Month) -> None:
    page.goto("/admin/invoicing/statement/issue/")
    page.locator("input[name=month]").fill(str(last))
    page.locator("select[name=team]").select_option(label=world.team.name)
    shoot(page, "statement-issue")
    page.locator("#asked button[type=submit]").click()
    expect(page.locator("#result_list")).to_contain_text("ST-000001")
    made = Statement.objects.get()
    page.goto(f"/admin/invoicing/statement/{made.pk}/change/")
    expect(page.locator("#lines")).to_contain_text("$20.00")
    shoot(page, "statement")
    with page.expect_download() as download:
        page.locator("#files a", has_text="PDF").first.click()
    content = Path(download.value.path()).read_bytes()
    assert "Total in USD 20.00" in text_of(content)


def _close(page: Page, shoot: Any, last: months.Month) -> None:
    page.goto("/admin/invoicing/monthclose/begin/")
    page.locator("input[name=month]").fill(str(last))
    page.locator("#asked button[type=submit]").click()
    expect(page.locator("#checks")).to_contain_text("The ledger is proven")
    shoot(page, "close-checks")
    page.locator("#checks form input[name=reason]").fill("there is no ingest here")
    page.locator("#checks form button").click()
    expect(page.locator("#checks")).to_contain_text("Waived by ada")
    page.locator("#do-close button").click()
    expect(page.locator("#figures")).to_contain_text("closed")
    shoot(page, "closed")
