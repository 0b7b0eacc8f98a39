"""The trail as files: CSV for spreadsheets, JSON lines for machines and archives. Rows are read a
few thousand at a time, so that a file may be as long as the trail."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any, Final, Literal

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from apps.audit import chain, trail
from apps.audit.models import AuditEvent
from chatvault.lib import clock

Form = Literal["csv", "jsonl"]
FORMS: Final = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
COLUMNS: Final = (
    "id", "at", "action", "actor_kind", "actor", "user_id", "team_id", "target_type", "target_id",
    "target", "before", "after", "request_id", "address", "previous_hash", "hash",
)  # fmt: skip
_AT_ONCE: Final = 2_000
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def response(
    request: HttpRequest, events: QuerySet[AuditEvent], form: Form, asked: dict[str, Any]
) -> StreamingHttpResponse:
    """A file of these events, oldest first. That somebody took it is in the trail, too."""
    trail.record("audit.exported", after={"form": form, "filters": asked})
    chunks = lines(events, form)
    answer = StreamingHttpResponse(
        _in_turn(chunks) if _is_async(request) else chunks, content_type=FORMS[form]
    )
    name = f"audit-{clock.now():%Y%m%d-%H%M%S}.{form}"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    answer["Cache-Control"] = "private, no-store"
    return answer


def lines(events: QuerySet[AuditEvent], form: Form) -> Iterator[str]:
    """The file, in pieces of some thousand rows."""
    if form == "csv":
        yield _csv([COLUMNS])
    for batch in _batches(events):
        yield _csv(map(_cells, batch)) if form == "csv" else "".join(map(json_line, batch))


def json_line(row: dict[str, Any]) -> str:
    """One event with its hashes: a verifier needs nothing else."""
    kept = {name: row[name] for name in COLUMNS}
    kept["at"] = _instant(kept["at"])
    return json.dumps({"form": chain.FORM, **kept}, ensure_ascii=True) + "\n"


def _batches(events: QuerySet[AuditEvent]) -> Iterator[list[dict[str, Any]]]:
    after = 0
    ordered = events.order_by("id").values(*COLUMNS)
    while batch := list(ordered.filter(id__gt=after)[:_AT_ONCE]):
        yield batch
        after = batch[-1]["id"]


def _csv(rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cells(row: dict[str, Any]) -> list[str]:
    return [_cell(row[name]) for name in COLUMNS]


def _cell(value: Any) -> str:
    """As text that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return _instant(value)
    text = json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _is_async(request: HttpRequest) -> bool:
    """Under ASGI Django would collect a whole synchronous stream in memory."""
    return isinstance(getattr(request, "_request", request), ASGIRequest)


async def _in_turn(chunks: Iterator[str]) -> AsyncIterator[str]:
    step = sync_to_async(_next)
    while (chunk := await step(chunks)) is not None:
        yield chunk


def _next(chunks: Iterator[str]) -> str | None:
    return next(chunks, None)
