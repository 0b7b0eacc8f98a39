"""The request log in the admin and in the API, with filters, at the first and a deep page."""

from __future__ import annotations

import statistics
import time
from typing import Any

from django.test import Client as Browser

from apps.accounts.models import User
from apps.usage.models import HourlyRollup, RequestLog

ROUNDS = 3
DEEP = 10_000
PAGE = 50


def measure() -> list[dict[str, Any]]:
    browser = Browser(raise_request_exception=True)
    user, _ = User.objects.get_or_create(
        username="bench", defaults={"is_staff": True, "is_superuser": True}
    )
    browser.force_login(user)
    row = HourlyRollup.objects.order_by("pk").first()
    assert row is not None
    found = []
    filters = {
        "no filter": "",
        "a team": f"team={row.team_id}",
        "a client": f"client={row.client_id}",
        "a key": f"key={row.key_id}",
        "a model": f"alias={row.alias}",
        "a deployment": f"deployment={row.deployment_id}",
        "failed": "outcome=error",
        "status 504": "status=504",
        "status 418, which there is not": "status=418",
    }
    for name, query in filters.items():
        for page in _pages(query):
            offset = PAGE * (page - 1)
            api = f"/api/v1/usage?limit={PAGE}&offset={offset}&{query}"
            found.append(_timed(browser, f"API, {name}, page {page:,}", api))
            if name.startswith("status"):
                continue
            pages = f"/admin/usage/requestlog/?p={page}&{_admin(query)}"
            found.append(_timed(browser, f"admin, {name}, page {page:,}", pages))
    found.append(_timed(browser, "API, cursor, page 1", "/api/v1/usage"))
    last = RequestLog.objects.order_by("-started_at", "-pk")[0]
    search = f"/admin/usage/requestlog/?q={last.request_id.hex[:12]}"
    found.append(_timed(browser, "admin, search by the beginning of an id", search))
    return found


def _pages(query: str) -> list[int]:
    """The first one and a deep one, of those that there are."""
    name, _, value = query.partition("=")
    column = _COLUMNS.get(name, name)
    rows = RequestLog.objects.filter(**({column: value} if name else {})).count()
    deep = min(DEEP, rows // PAGE - 1)
    return [1, deep] if deep > 1 else [1]


_COLUMNS = {
    **{name: f"{name}_id" for name in ("team", "client", "key", "deployment")},
    "status": "http_status",
}


def _admin(query: str) -> str:
    return query.replace("outcome=error", "outcome=failed")


def _timed(browser: Browser, name: str, path: str) -> dict[str, Any]:
    times = []
    for number in range(ROUNDS + 1):
        began = time.perf_counter()
        answer = browser.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        if number:
            times.append(1000 * (time.perf_counter() - began))
    mean = statistics.mean(times)
    print(f"{name}: {mean:.0f} ms")
    return {"name": name, "mean_ms": mean, "most_ms": max(times)}
