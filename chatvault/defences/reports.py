"""What browsers report of code or content that our policy did not let in.

Anybody can send a report, so it is counted by directive and told of in the log without what could
hold somebody's data: no query, no fragment, no sample of the code.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from threading import Lock
from typing import Any, Final
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from apps.accounts.throttle import throttled
from chatvault.lib.metrics.families import OTHER, Family, Figures, Row, Values
from chatvault.lib.page_policy import PAGES, REFERENCE

MOST_BYTES: Final = 16 * 1024
MOST_IN_ONE: Final = 20
VIOLATIONS: Final = Family(
    "chatvault_csp_violations_total",
    "counter",
    "Reports of browsers that a page of ours asked for what its policy forbids.",
    ("directive",),
)

_KNOWN: Final = frozenset(
    [*PAGES, *REFERENCE, "script-src-elem", "script-src-attr", "style-src-elem", "style-src-attr"]
)
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")

log = logging.getLogger(__name__)
_counts: Counter[str] = Counter()
_lock = Lock()


@csrf_exempt  # the browser sends it, without our forms
@require_POST
@throttled("report")
def take(request: HttpRequest) -> HttpResponse:
    """`application/csp-report` (CSP Level 2) and `application/reports+json` (Reporting API)."""
    if len(request.body) > MOST_BYTES:
        return HttpResponse(status=413)
    try:
        reports = _reports(json.loads(request.body))
    except (ValueError, RecursionError):
        return HttpResponse(status=400)
    for report in reports[:MOST_IN_ONE]:
        _count(report)
    return HttpResponse(status=204)


def figures() -> Figures:
    with _lock:
        rows: dict[Values, Row] = {(directive,): (count,) for directive, count in _counts.items()}
    yield VIOLATIONS, rows


def _reports(told: object) -> list[dict[str, Any]]:
    """Raises ValueError for what is no report."""
    if isinstance(told, dict) and isinstance(told.get("csp-report"), dict):
        return [told["csp-report"]]
    if isinstance(told, list):
        told = [one for one in told if isinstance(one, dict)]
        bodies = [one.get("body") for one in told if one.get("type") == "csp-violation"]
        return [body for body in bodies if isinstance(body, dict)]
    raise ValueError("no report")


def _count(report: dict[str, Any]) -> None:
    said = report.get("effective-directive") or report.get("effectiveDirective")
    said = said or report.get("violated-directive") or ""
    name = str(said).partition(" ")[0]
    directive = name if name in _KNOWN else OTHER
    with _lock:
        _counts[directive] += 1
    log.warning(
        "a page was kept from what its policy forbids",
        extra={
            "directive": directive,
            "page": _place(report.get("document-uri") or report.get("documentURL"), path=True),
            "blocked": _place(report.get("blocked-uri") or report.get("blockedURL"), path=False),
        },
    )


def _place(uri: object, *, path: bool) -> str:
    """Where it was: a path of ours, or the origin of somebody else; never more than 200 signs."""
    text = str(uri or "")
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    found = parts.path if path else f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    if not path and not parts.netloc:
        found = parts.scheme or parts.path  # `inline`, `eval`, `data`
    return _UNPRINTABLE.sub("", found)[:200]
