"""Handing out documents as they were issued, checked against what was stored with them."""

from __future__ import annotations

import hashlib
from zoneinfo import ZoneInfo

from django.http import Http404, HttpResponse

from apps.invoicing.errors import InvoicingError
from apps.invoicing.models import Statement

_TYPES = {"pdf": "application/pdf", "csv": "text/csv; charset=utf-8"}


def download(statement: Statement, form: str, *, shows_margins: bool) -> HttpResponse:
    """Raises Http404 for a form that there is not, InvoicingError when the bytes have changed."""
    found = statement.files.filter(form=form, shows_margins=shows_margins).first()
    if found is None:
        raise Http404
    content = bytes(found.content)
    if hashlib.sha256(content).hexdigest() != found.digest:
        raise InvoicingError(f"The file of {statement} is not what was issued.")
    answer = HttpResponse(content, content_type=_TYPES[form])
    suffix = "-margins" if shows_margins else ""
    answer["Content-Disposition"] = f'attachment; filename="{file_name(statement)}{suffix}.{form}"'
    answer["Cache-Control"] = "private, no-store"
    answer["ETag"] = f'"{found.digest}"'
    return answer


def file_name(statement: Statement) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in statement.reference)


def month_text(statement: Statement) -> str:
    return f"{statement.starts_at.astimezone(ZoneInfo(statement.time_zone)):%Y-%m}"
