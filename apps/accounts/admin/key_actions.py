"""What is done to many keys at once from their list, and to one from its page."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from unfold.decorators import action

from apps.accounts import errors, key_import, permissions, rotation, services
from apps.accounts.admin import issued
from apps.accounts.admin.key_forms import ExtendForm, GraceForm, ImportForm
from apps.accounts.admin.limited import asking
from apps.accounts.admin.pages import actor_of
from apps.accounts.models import ApiKey, Client
from apps.accounts.roles import Capability
from chatvault.lib import clock

if TYPE_CHECKING:
    from typing import Any as _Base
else:
    _Base = object


class KeyActions(_Base):
    """Mixed into the page of keys."""

    def has_import_keys_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return bool(request.user.has_perm("accounts.add_apikey"))

    def has_rotate_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        if not request.user.has_perm("accounts.change_apikey"):
            return False
        key = self.get_object(request, object_id) if object_id else None
        return not object_id or (
            key is not None and key.rotated_at is None and self.has_change_permission(request, key)
        )

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        count = services.enable_keys(keys=queryset, actor=actor_of(request))
        self.message_user(request, f"{count} keys enabled. Revoked keys stay revoked.")

    @admin.action(description="Disable: refuse until enabled again", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        count = services.disable_keys(keys=queryset, actor=actor_of(request))
        self.message_user(request, f"{count} keys disabled.")

    @admin.action(description="Revoke: refuse for good", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        count = services.revoke_keys(keys=queryset, actor=actor_of(request))
        self.message_user(request, f"{count} keys revoked, for good.")

    @admin.action(description="Rotate: issue successors, with a grace", permissions=["change"])
    def rotate_many(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        keys = list(queryset.select_related("client__team").order_by("client__name", "name"))
        if len(keys) > rotation.MOST_AT_ONCE:
            text = f"Rotate at most {rotation.MOST_AT_ONCE} keys at once."
            self.message_user(request, text, messages.ERROR)
            return None
        form = GraceForm(request.POST if "apply" in request.POST else None)
        if not form.is_valid():
            return self._ask(request, form, keys, "rotate_many", "Rotate")
        try:
            made = rotation.rotate_keys(
                keys=keys, actor=actor_of(request), grace=form.grace, who=asking(request)
            )
        except errors.AccountsError as refused:
            self.message_user(request, f"Nothing was rotated. {refused}", messages.ERROR)
            return None
        return self._show_all(request, made)

    @admin.action(description="Extend the end", permissions=["change"])
    def extend(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        form = ExtendForm(request.POST if "apply" in request.POST else None)
        if not form.is_valid():
            keys = list(queryset.select_related("client__team"))
            return self._ask(request, form, keys, "extend", "Extend")
        until = clock.now() + timedelta(days=form.cleaned_data["days"])
        count = services.extend_keys(keys=queryset, until=until)
        self.message_user(request, f"{count} keys end at {until:%Y-%m-%d %H:%M} UTC now.")
        return None

    @action(description="Rotate", url_path="rotate", icon="autorenew", permissions=["rotate"])
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks for the grace, then shows the successor once."""
        key = get_object_or_404(self.get_queryset(request), pk=object_id)
        if not self.has_change_permission(request, key):
            raise PermissionDenied
        form = GraceForm(request.POST or None)
        if request.method != "POST" or not form.is_valid():
            return self._ask(request, form, [key], "", "Rotate")
        try:
            with transaction.atomic():
                made = rotation.rotate_key(
                    key=key, actor=actor_of(request), grace=form.grace, who=asking(request)
                )
                self.record(request, f"Rotated key {made.key}")
        except errors.AccountsError as refused:
            self.message_user(request, str(refused), messages.ERROR)
            return redirect("admin:accounts_apikey_change", key.pk)
        return issued.show_once(request, made, self.admin_site.each_context(request))

    @action(
        description="Import digests", url_path="import", icon="upload", permissions=["import_keys"]
    )
    def import_keys(self, request: HttpRequest) -> HttpResponse:
        """Checks a list of digests and, when nothing is wrong with it, imports it."""
        who = asking(request)
        clients = permissions.limit(Client.objects.order_by("name"), who)
        teams = who.teams_with(Capability.KEYS_WRITE)
        clients = clients if teams is None else clients.filter(team__in=teams)
        form = ImportForm(request.POST or None, request.FILES or None, clients=clients)
        planned = None
        is_check = "check" in request.POST
        if request.method == "POST" and form.is_valid():
            try:
                with transaction.atomic():
                    planned = key_import.import_digests(
                        text=form.cleaned_data["text"],
                        who=who,
                        actor=actor_of(request),
                        client=form.cleaned_data["client"],
                        dry_run=is_check,
                    )
                    if not is_check and not planned.problems and planned.keys:
                        self.record(request, f"Imported {len(planned.keys)} keys")
            except key_import.Unreadable as refused:
                form.add_error(None, str(refused))
            else:
                if not planned.problems and not is_check:
                    text = f"{len(planned.keys)} keys imported; {planned.present} were here."
                    self.message_user(request, text)
                    return redirect("admin:accounts_apikey_changelist")
        context = self.admin_site.each_context(request) | {
            "title": "Import digests of keys",
            "opts": self.opts,
            "form": form,
            "planned": planned,
            "fields": key_import.FIELDS,
        }
        return TemplateResponse(request, "admin/accounts/import_keys.html", context)

    def _ask(
        self, request: HttpRequest, form: forms.Form, keys: Sequence[ApiKey], name: str, verb: str
    ) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "title": f"{verb} {len(keys)} keys" if len(keys) != 1 else f"{verb} {keys[0]}",
            "opts": self.opts,
            "form": form,
            "keys": keys,
            "action": name,
            "verb": verb,
            "is_across": request.POST.get("select_across", "0"),
            "back": request.get_full_path() if name else "..",
        }
        return TemplateResponse(request, "admin/accounts/ask_about_keys.html", context)

    def _show_all(self, request: HttpRequest, made: Sequence[services.IssuedKey]) -> HttpResponse:
        rows: list[dict[str, Any]] = [
            {
                "client": one.key.client.name,
                "name": one.key.name,
                "secret": one.secret.reveal(),
                "old_ends": one.key.predecessor.expires_at if one.key.predecessor else None,
            }
            for one in made
        ]
        context = self.admin_site.each_context(request) | {
            "title": "Copy the keys now",
            "opts": self.opts,
            "rows": rows,
            "csv": base64.b64encode(_csv(rows).encode()).decode(),
        }
        response = TemplateResponse(request, "admin/accounts/issued_keys.html", context)
        response["Cache-Control"] = "no-store, private"
        response["Referrer-Policy"] = "no-referrer"
        return response


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    """Names begin with a letter or a digit, so that no cell is a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(("client", "name", "key"))
    writer.writerows((row["client"], row["name"], row["secret"]) for row in rows)
    return text.getvalue()
