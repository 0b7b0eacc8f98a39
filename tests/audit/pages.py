"""Filling in any page of the admin as a browser would: from the form that it shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.test import Client as Browser


def posted(browser: Browser, url: str, **changes: str) -> Any:
    """GET, change some fields, POST everything."""
    page = browser.get(url)
    assert page.status_code == 200, (url, page.status_code)
    data = dict(_all_fields(page.context)) | changes
    answer = browser.post(url, data)
    assert answer.status_code == 302, _errors(answer)
    return answer


def forms_of(context: Any) -> Iterator[Any]:
    yield context["adminform"].form
    for formset in context["inline_admin_formsets"]:
        yield formset.formset.management_form
        yield from formset.formset.forms


def _all_fields(context: Any) -> Iterator[tuple[str, Any]]:
    for form in forms_of(context):
        for bound in form:
            yield from _field(bound)


def _field(bound: Any) -> Iterator[tuple[str, Any]]:
    value = bound.value()
    widget = bound.field.widget
    if isinstance(widget, forms.MultiWidget):
        parts = widget.decompress(value) if not isinstance(value, list) else value
        for number, part in enumerate(parts or []):
            yield f"{bound.html_name}_{number}", "" if part is None else str(part)
    elif isinstance(bound.field, forms.BooleanField):
        if value:
            yield bound.html_name, "on"
    elif isinstance(value, list | tuple):
        yield bound.html_name, [str(getattr(each, "pk", each)) for each in value]
    else:
        prepared = bound.field.prepare_value(value)
        shown = widget.format_value(prepared) if hasattr(widget, "format_value") else prepared
        shown = shown[0] if isinstance(shown, list) and shown else shown
        yield bound.html_name, "" if shown in (None, []) else str(shown)


def _errors(answer: Any) -> Any:
    if answer.context is None or "adminform" not in answer.context:
        return answer.status_code, answer.content[:400]
    found = [form.errors for form in forms_of(answer.context) if form.errors]
    return answer.status_code, found
