"""From a fresh clone to a request in the admin, as a newcomer goes."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks.gateways.contract import clean_environment
from benchmarks.processes import free_port, stop
from tests.proofs.figures import Figures
from tests.proofs.newcomer import Call, by_node, by_python
from tests.proofs.stage import wait_until
from tests.run.tree import ROOT, fetch

INSTALLED_S = 600.0
_TITLES = ("in_tokens", "out_tokens", "money", "latency")


def prove(folder: Path, pictures: Path) -> Figures:
    """`pictures` is the folder for what the browser showed."""
    figures = Figures("make_run")
    clone = folder / "chatvault"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    with _make_run(clone, figures) as told:
        visits = [make(told["url"] + "/v1", told["api_key"]) for make in (by_python, by_node)]
        calls = [call for visit in visits for call in visit.calls]
        figures.require(models=([visit.models for visit in visits], [["demo"], ["demo"]]))
        figures.require(empty_answers=(sum(not call.content for call in calls), 0))
        shown = _look(told, calls, pictures)
    for call in calls:
        figures.note(**{call.name.replace(" ", "_"): shown[call.name]})
    figures.require(
        requests_in_admin=(len(shown), len(calls)),
        wrong_in_admin=([call.name for call in calls if not _is_right(call, shown)], []),
    )
    return figures.show()


@contextmanager
def _make_run(clone: Path, figures: Figures) -> Iterator[dict[str, Any]]:
    """What the first run tells; orderly stopped afterwards."""
    port = free_port()
    surroundings = clean_environment(PORT=str(port))
    began = time.monotonic()
    with (clone.parent / "make.log").open("wb") as output:
        process = subprocess.Popen(
            ["make", "run"],
            cwd=clone,
            env=surroundings,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(lambda: process.poll() is not None or _is_ready(port), INSTALLED_S)
        said = (clone.parent / "make.log").read_text()
        assert process.poll() is None, said[-2000:]
        figures.note(clone_to_ready_s=round(time.monotonic() - began, 1))
        start_s = re.search(r"ready at \S+ after ([\d.]+) s", said)
        figures.note(first_start_s=float(start_s[1]) if start_s else None)
        yield json.loads((clone / "var/first-run.json").read_text())
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C
        process.wait(60)
        said = (clone.parent / "make.log").read_text()
        figures.require(ends_orderly_on_ctrl_c=("chatvault: stopped" in said, True))
    finally:
        stop(process)


def _is_ready(port: int) -> bool:
    return fetch(f"http://127.0.0.1:{port}/readyz") == 200


def _look(told: dict[str, Any], calls: list[Call], pictures: Path) -> dict[str, dict[str, str]]:
    """Sign in and read, by call, the cells of its row in the request log."""
    names = (os.environ.get("CHATVAULT_CHROMIUM", ""), "chromium", "chromium-browser")
    path = next(filter(None, (shutil.which(name) for name in names if name)), None)
    assert path, "this proof needs Chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(base_url=told["url"], viewport={"width": 1440, "height": 900})
        page.goto("/admin/")
        page.fill("#id_username", told["admin"]["username"])
        page.fill("#id_password", told["admin"]["password"])
        page.click("button[type=submit]")
        page.wait_for_url("**/admin/")
        page.get_by_role("link", name="Requests").first.click()
        page.wait_for_url("**/usage/requestlog/**")
        _wait_for_rows(page, len(calls))
        page.screenshot(path=pictures / "requests.png", full_page=True)
        shown = {}
        for call in calls:
            page.goto(f"/admin/usage/requestlog/?q={call.request_id}")
            row = page.locator("#result_list tbody tr")
            if row.count() == 1:
                shown[call.name] = {
                    title: _cell(row.locator(f".field-{title}").inner_text()) for title in _TITLES
                }
        row.first.locator("a").first.click()
        page.wait_for_load_state()
        page.screenshot(path=pictures / "request.png", full_page=True)
        browser.close()
    return shown


def _wait_for_rows(page: Page, count: int) -> None:
    deadline = time.monotonic() + 10
    while page.locator("#result_list tbody tr").count() < count and time.monotonic() < deadline:
        page.wait_for_timeout(300)
        page.reload()


def _cell(text: str) -> str:
    return " ".join(text.split())


def _is_right(call: Call, shown: dict[str, dict[str, str]]) -> bool:
    """The tokens are those of the answer; there is a price and a time."""
    cells = shown.get(call.name)
    if cells is None:
        return False
    tokens = (cells["in_tokens"], cells["out_tokens"])
    return (
        tokens == (str(call.input_tokens), str(call.output_tokens))
        and re.match(r"(<\s*)?\$0\.\d*", cells["money"]) is not None
        and re.fullmatch(r"(< )?[\d.]+ (ms|s)( (< )?[\d.]+ (ms|s))?", cells["latency"]) is not None
    )
