"""After saving: what is still to do until a client gets an answer."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin


class SaysNext(ModelAdmin):
    """A page that names the next step when a row is new: credential, deployment, alias, price,
    client's models."""

    def next_step(self, request: HttpRequest, obj: Any) -> str | SafeString:
        """A sentence, usually with a link; empty where there is nothing to say."""
        raise TypeError(f"{type(self).__name__} names no next step")

    def response_add(
        self, request: HttpRequest, obj: Model, post_url_continue: str | None = None
    ) -> HttpResponse:
        response = super().response_add(request, obj, post_url_continue)
        if "_popup" not in request.POST and (text := self.next_step(request, obj)):
            messages.info(request, text)
        return response


def page_link(page: str, text: str, **query: Any) -> str | SafeString:
    """A link to an admin page such as `providers_alias_add`; the text alone where it has none."""
    try:
        url = reverse(f"admin:{page}")
    except NoReverseMatch:
        return text
    full = f"{url}?{urlencode(query)}" if query else url
    return format_html('<a class="underline" href="{}">{}</a>', full, text)
