"""What the page of one event shows."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from django.apps import apps
from django.urls import NoReverseMatch, reverse

from apps.audit.models import AuditEvent

_MOST_OTHERS: Final = 50


class Difference(NamedTuple):
    field: str
    before: str
    after: str


def context_of(event: AuditEvent) -> dict[str, Any]:
    """Everything that `audit/event.html` shows, in a fixed number of queries."""
    others = AuditEvent.objects.none()
    if event.request_id:
        others = AuditEvent.objects.filter(request_id=event.request_id).exclude(pk=event.pk)
    return {
        "event": event,
        "differences": differences(event),
        "target_url": target_url(event),
        "kind": kind_of(event),
        "others": others.order_by("id")[:_MOST_OTHERS],
    }


def differences(event: AuditEvent) -> list[Difference]:
    """Field by field; what only one side has is empty on the other."""
    names = dict.fromkeys([*event.before, *event.after])
    return [
        Difference(name, _text(event.before.get(name)), _text(event.after.get(name)))
        for name in names
    ]


def target_url(event: AuditEvent) -> str:
    """The page of what was changed, as far as there is a page of its kind."""
    app, _, model = event.target_type.partition(".")
    if not model or not event.target_id:
        return ""
    try:
        return reverse(f"admin:{app}_{model}_change", args=[event.target_id])
    except NoReverseMatch:
        return ""


def kind_of(event: AuditEvent) -> str:
    """What the target is, in words."""
    try:
        return str(apps.get_model(event.target_type)._meta.verbose_name)
    except (LookupError, ValueError):
        return event.target_type


def _text(value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(each, str | int) for each in value):
        return ", ".join(map(str, value))
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, indent=1)
    return str(value)
