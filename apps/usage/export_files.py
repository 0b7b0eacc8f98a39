"""Files of usage as answers: streamed while they are made, or from the disk, in parts if asked."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import BinaryIO, Final

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from apps.audit import trail
from apps.usage import exports
from apps.usage.models import UsageExport
from apps.usage.reports.exporting.files import FORMATS, Format, chunks
from apps.usage.reports.exporting.slices import Wanted

_BLOCK: Final = 256 * 1024
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def stream(request: HttpRequest, wanted: Wanted, form: Format) -> StreamingHttpResponse:
    """A file that is made while it is read. That somebody took it is in the audit trail."""
    span = {"from": wanted.start.isoformat(), "until": wanted.end.isoformat()}
    filters = {str(name): list(values) for name, values in wanted.filters.items()}
    trail.record("usage.exported", after={"format": form.name, **span, "filters": filters})
    name = f"usage-{wanted.start:%Y%m%d}-{wanted.end:%Y%m%d}.{form.extension}"
    return _streaming(request, chunks(wanted, form), form.content_type, name)


def download(request: HttpRequest, row: UsageExport) -> HttpResponseBase:
    """A finished file, or the part of it that a Range header names. Raises FileNotFoundError."""
    form = FORMATS[row.format]
    file = exports.opened(row)
    etag = f'"{row.sha256}"'
    wanted = _range(request, row.size_bytes, etag)
    if wanted is None:
        file.close()
        refused = HttpResponse(status=416)
        refused["Content-Range"] = f"bytes */{row.size_bytes}"
        return refused
    first, last = wanted
    answer = _streaming(request, _blocks(file, first, last), form.content_type, row.file_name)
    answer["Content-Length"] = str(last - first + 1)
    answer["Accept-Ranges"] = "bytes"
    answer["ETag"] = etag
    if (first, last) != (0, row.size_bytes - 1):
        answer.status_code = 206
        answer["Content-Range"] = f"bytes {first}-{last}/{row.size_bytes}"
    return answer


def _range(request: HttpRequest, size: int, etag: str) -> tuple[int, int] | None:
    """First and last byte; None for a range that the file does not have. Several ranges, and one
    of another version of the file, are answered by the whole."""
    found = _RANGE.fullmatch(request.headers.get("range", "").strip())
    only_if = request.headers.get("if-range", etag)
    if found is None or only_if != etag or not any(found.groups()):
        return 0, size - 1
    first, last = found.groups()
    if not first:  # the last so many
        length = int(last)
        return (max(size - length, 0), size - 1) if length else None
    if int(first) >= size or (last and int(last) < int(first)):
        return None
    return int(first), min(int(last), size - 1) if last else size - 1


def _blocks(file: BinaryIO, first: int, last: int) -> Iterator[bytes]:
    with file:
        file.seek(first)
        left = last - first + 1
        while left > 0 and (block := file.read(min(_BLOCK, left))):
            left -= len(block)
            yield block


def _streaming(
    request: HttpRequest, made: Iterator[bytes], content_type: str, name: str
) -> StreamingHttpResponse:
    """Under ASGI Django would collect a whole synchronous stream in memory."""
    is_async = isinstance(getattr(request, "_request", request), ASGIRequest)
    answer = StreamingHttpResponse(_in_turn(made) if is_async else made, content_type=content_type)
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    answer["Cache-Control"] = "private, no-store"
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


async def _in_turn(made: Iterator[bytes]) -> AsyncIterator[bytes]:
    step: Callable[[Iterator[bytes]], object] = sync_to_async(_next)
    while (block := await step(made)) is not None:  # type: ignore[misc]
        yield block


def _next(made: Iterator[bytes]) -> bytes | None:
    return next(made, None)
