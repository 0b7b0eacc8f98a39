"""The page that shows a new key, once."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from apps.accounts.models import Client
from apps.accounts.services import IssuedKey


def show_once(request: HttpRequest, issued: IssuedKey, context: dict[str, Any]) -> HttpResponse:
    """An answer that no cache keeps; the secret is kept nowhere on the server."""
    response = TemplateResponse(
        request,
        "admin/accounts/issued_key.html",
        context
        | {
            "title": "Copy the key now",
            "key": issued.key,
            "secret": issued.secret.reveal(),
            "base_url": request.build_absolute_uri("/v1"),
            "model": _some_model(issued) or "your-model",
        },
    )
    response["Cache-Control"] = "no-store, private"
    response["Referrer-Policy"] = "no-referrer"
    return response


def _some_model(issued: IssuedKey) -> str:
    """A model that the key may use, for the examples."""
    client = issued.key.client
    every = Client._meta.get_field("aliases").related_model._default_manager.all()
    allowed = every if client.may_use_all_aliases else client.aliases.all()
    first = (issued.key.aliases.all() or allowed).filter(is_active=True).order_by("name").first()
    return str(first) if first else ""
