"""An admin's month in a real Chromium: a book, a tier, a budget that fills, an alert, a raise, a
forecast, an export; beside it a client that calls with the official library."""

import csv
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
from playwright.sync_api import Page, expect, sync_playwright

from tests.fakes.receiver import Receiver
from tests.proofs.figures import Figures
from tests.proofs.stage import Stage, wait_until

SIGNING = "a signing secret of this proof alone"
CLIENT, MODEL = "shop", "told"
PATIENCE_MS = 90_000
_SAVE = "button[name=_save], input[name=_save]"


def document(stage: Stage) -> dict[str, Any]:
    """What is there before the admin begins: a model without a price, a client without a tier."""
    return {
        "providers": [{"name": "witness", "family": "openai", "base_url": stage.provider.url}],
        "deployments": [{"name": MODEL, "provider": "witness", "model": MODEL}],
        "aliases": [{"name": MODEL, "targets": [{"deployment": MODEL}]}],
        "teams": [{"name": "retail"}],
        "clients": [
            {
                "name": CLIENT,
                "team": "retail",
                "aliases": [MODEL],
                "keys": [{"name": "one", "secret": stage.secret_of(CLIENT)}],
            }
        ],
    }


def prove(folder: Path, pictures: Path) -> Figures:
    figures = Figures("journey")
    with Receiver().running() as receiver:
        more = {"CHATVAULT_ALERTS_PRIVATE_HOSTS": receiver.host}
        with Stage(folder, **more) as stage, _admin(stage) as page:
            stage.apply(document(stage))
            _price(page)
            _limit(page)
            _listen(page, receiver)
            spent = _spend(stage, most=17)
            figures.require(answered=(spent, 17))
            _see(page, "/admin/billing/budget/", "#result_list", "$0.85 spent")
            page.screenshot(path=pictures / "budget-filled.png", full_page=True)
            wait_until(lambda: _told(receiver, 80), PATIENCE_MS / 1000)
            last = _spend(stage, most=10)  # the most that one can cost must fit
            figures.at_most(answered_before_the_end=(last, 3))
            _raise(page, pictures)
            figures.require(answered_after_the_raise=(_spend(stage, most=4), 4))
            owed = (spent + last + 4) * Decimal("0.05")
            figures.require(charged_usd=(_exported(page, pictures, owed), f"{owed:.9f}"))
            _forecast(page, pictures)
            figures.require(alerts_signed=(_signed(receiver), True))
            figures.require(verify_ledger=(stage.verdict(), "clean"))
    return figures.show()


@contextmanager
def _admin(stage: Stage) -> Iterator[Page]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    assert path, "this proof needs Chromium"
    told = json.loads((stage.home / "first-run.json").read_text())["admin"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(base_url=stage.url, viewport={"width": 1360, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        page.goto("/admin/")
        page.fill("#id_username", told["username"])
        page.fill("#id_password", told["password"])
        page.click("button[type=submit]")
        page.wait_for_url("**/admin/")
        yield page
        browser.close()


def _choose(page: Page, field: str, name: str) -> None:
    page.locator(f".field-{field} .select2-selection").first.click()
    page.get_by_role("option", name=name, exact=True).click()


def _see(page: Page, address: str, place: str, text: str) -> None:
    """Load the page again until it says so."""

    def is_said() -> bool:
        page.goto(address)
        return text in page.locator(place).inner_text()

    wait_until(is_said, PATIENCE_MS / 1000)


def _price(page: Page) -> None:
    """$40 a million tokens in the book, a quarter more in the tier: 1,000 tokens are 5 cents."""
    page.goto("/admin/billing/pricebook/add/")
    page.fill("#id_name", "house")
    page.click(_SAVE)
    page.goto("/admin/billing/price/add/")
    _choose(page, "book", "house")
    page.fill("#id_model", MODEL)
    page.fill("#id_input_usd", "40")
    page.fill("#id_output_usd", "40")
    page.click(_SAVE)
    expect(page.locator("#result_list")).to_contain_text(MODEL)
    page.goto("/admin/billing/pricingtier/add/")
    page.fill("#id_name", "plus")
    _choose(page, "price_book", "house")
    page.fill("#id_markup_percent", "25")
    page.click(_SAVE)
    expect(page.locator("#result_list")).to_contain_text("plus")
    page.goto("/admin/accounts/client/")
    page.get_by_role("link", name=CLIENT, exact=True).first.click()
    page.select_option("#id_tier", label="plus")
    page.click(_SAVE)


def _limit(page: Page) -> None:
    page.goto("/admin/billing/budget/add/")
    _choose(page, "client", CLIENT)
    page.fill("#id_amount_usd", "1")
    page.click(_SAVE)
    expect(page.locator("#result_list")).to_contain_text("$1.00")


def _listen(page: Page, receiver: Receiver) -> None:
    page.goto("/admin/alerts/channel/add/")
    page.fill("#id_name", "costs")
    page.select_option("#id_kind", "webhook")
    page.fill("#id_secret_url", receiver.url)
    page.fill("#id_signing_secret", SIGNING)
    page.get_by_label("Budget reached a line").check()
    page.click(_SAVE)
    expect(page.locator("#result_list")).to_contain_text("costs")


def _spend(stage: Stage, *, most: int) -> int:
    """How many requests of 5 cents each were answered before one was refused."""
    usage = json.dumps({"prompt": 900, "completion": 100})
    messages: Any = [
        {"role": "system", "content": "word" * 160},
        {"role": "user", "content": usage},
    ]
    key, answered = stage.key_of(CLIENT), 0
    with openai.OpenAI(base_url=f"{stage.url}/v1", api_key=key, max_retries=0) as client:
        for _ in range(most):
            try:
                client.chat.completions.create(model=MODEL, messages=messages, max_tokens=100)
            except openai.APIStatusError as refusal:
                assert refusal.status_code == 402, refusal
                return answered
            answered += 1
    return answered


def _told(receiver: Receiver, line: int) -> bool:
    return any(f'"line_percent":{line}' in _compact(one.body) for one in receiver.taken)


def _compact(body: bytes) -> str:
    return json.dumps(json.loads(body), separators=(",", ":"))


def _signed(receiver: Receiver) -> bool:
    return all("x-chatvault-signature" in one.headers for one in receiver.taken)


def _raise(page: Page, pictures: Path) -> None:
    page.goto("/admin/billing/budget/")
    page.locator("#result_list tr", has_text=CLIENT).locator("a").first.click()
    page.fill("#id_amount_usd", "5")
    page.screenshot(path=pictures / "budget-raised.png", full_page=True)
    page.click(_SAVE)
    expect(page.locator("#result_list")).to_contain_text("$5.00")
    page.wait_for_timeout(2_000)  # every gateway follows within a second


def _exported(page: Page, pictures: Path, owed: Decimal) -> str:
    """What the month's table says that the client was charged, once all of it is booked."""
    _see(page, "/admin/usage/requestlog/spending/?range=month&by=client", "#groups", f"${owed:.2f}")
    page.screenshot(path=pictures / "spending.png", full_page=True)
    with page.expect_download() as download:
        page.get_by_role("link", name="As CSV, exact", exact=True).click()
    lines = csv.DictReader(io.StringIO(download.value.path().read_text()))
    charged = {line["Client"]: line["charged_usd"] for line in lines}
    return charged[CLIENT]


def _forecast(page: Page, pictures: Path) -> None:
    """Asked for among the scheduled jobs; then in the list of budgets, and as a chart."""
    page.goto("/admin/configuration/scheduledjob/?q=forecast")
    page.locator("#result_list input.action-select").first.check()
    page.locator("select[name=action]").first.select_option("run_selected")
    page.locator("button[name=index], button[type=submit]:has-text('Run')").first.click()
    row = page.locator("#result_list tr", has_text=CLIENT)
    cell = row.locator(".field-forecast a")

    def is_there() -> bool:
        page.goto("/admin/billing/budget/")
        return cell.count() > 0

    wait_until(is_there, PATIENCE_MS / 1000)
    page.screenshot(path=pictures / "budget-forecast.png", full_page=True)
    cell.first.click()
    expect(page.locator("canvas").first).to_be_visible()
    page.screenshot(path=pictures / "forecast.png", full_page=True)
