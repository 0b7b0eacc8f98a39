"""Admin pages whose writes are versions of the configuration, and the pages of the versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.admin import ModelAdmin
from unfold.decorators import action

from apps.audit.admin_log import AuditedAdmin
from apps.configuration import documents, restoring, revisions
from apps.configuration.diff import diff
from apps.configuration.models import Revision

_OTHERS: Final[dict[str, str]] = {
    Revision.Source.DOCUMENT: "configuration document",
    Revision.Source.FIRST_RUN: "first run",
}


class VersionedAdmin(AuditedAdmin, ModelAdmin):
    """A ModelAdmin whose saves, deletions and actions each become a revision, in the same
    transaction and with their author. Nothing is recorded when nothing differs.

    Views of a subclass that write outside of forms, lists and actions (`actions_detail` and
    such) do so within `transaction.atomic()` and end with `self.record(request, "…")`.
    """

    actions_list: ClassVar[Any] = ("show_revisions",)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return self._versioned(request, super().changeform_view, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return self._versioned(request, super().changelist_view, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return self._versioned(request, super().delete_view, *args, **kwargs)

    def record(self, request: HttpRequest, comment: str) -> Revision:
        """Keep what is now as a revision of the request's user, if it differs from the last."""
        return revisions.record(
            source=Revision.Source.ADMIN,
            actor=request.user,  # type: ignore[arg-type]
            comment=comment,
        )

    @action(description="Revisions", url_path="revisions", icon="history")
    def show_revisions(self, request: HttpRequest) -> HttpResponse:
        return redirect("admin:configuration_revision_changelist")

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        _remember(request, f"Added {obj._meta.verbose_name} {obj}")
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        _remember(request, f"Changed {obj._meta.verbose_name} {obj}")
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        for obj in queryset:
            _remember(request, f"Deleted {obj._meta.verbose_name} {obj}")
        return super().log_deletions(request, queryset)

    def _versioned(
        self, request: HttpRequest, view: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        if request.method != "POST":
            return view(request, *args, **kwargs)
        with transaction.atomic():
            response = view(request, *args, **kwargs)
            if comment := self._comment(request):
                self.record(request, comment)
        return response

    def _comment(self, request: HttpRequest) -> str:
        """What was done, as far as anything was."""
        done = getattr(request, "_chatvault_done", [])
        name = request.POST.get("action", "")
        if not done and name in self.get_actions(request):  # of those that are allowed
            done = [f"{name.replace('_', ' ').capitalize()}: {self.opts.verbose_name_plural}"]
        more = f" and {len(done) - 3} more" if len(done) > 3 else ""
        return "; ".join(done[:3]) + more


def _remember(request: HttpRequest, sentence: str) -> None:
    done = getattr(request, "_chatvault_done", [])
    request._chatvault_done = [*done, sentence]  # type: ignore[attr-defined]


@admin.register(Revision)
class RevisionAdmin(ModelAdmin):
    """Revisions are made by changes and never edited; one can be gone back to."""

    list_display = ("version", "created_at", "by", "comment")
    list_display_links = ("version",)
    list_filter = ("source", "created_at")
    list_select_related = ("author",)
    search_fields = ("comment", "author__username")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Revision]:
        return super().get_queryset(request).defer("document")

    @admin.display(description="revision", ordering="id")
    def version(self, revision: Revision) -> str:
        return str(revision.pk)

    @admin.display(description="author", ordering="author__username")
    def by(self, revision: Revision) -> str:
        """The person, or what else changes configurations."""
        if revision.author is not None:
            return str(revision.author)
        return _OTHERS.get(revision.source, revision.get_source_display())

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Revision | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Revision | None = None) -> bool:
        return False

    def may_restore(self, request: HttpRequest) -> bool:
        return request.user.has_perm("configuration.change_revision")

    def get_urls(self) -> list[URLPattern]:
        restore = path(
            "<int:revision_id>/restore/",
            self.admin_site.admin_view(self.restore_view),
            name="configuration_revision_restore",
        )
        return [restore, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """What the revision changed."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        revision = self._get(object_id)
        before = Revision.objects.filter(pk__lt=revision.pk).order_by("-pk").first()
        context = {
            "title": f"Revision {revision.pk}",
            "subtitle": revision.comment,
            "revision": revision,
            "before": before,
            "differences": diff(before.document if before else {}, revision.document),
            "may_restore": self.may_restore(request) and revision.pk != revisions.latest_id(),
        }
        return self._page(request, "configuration/revision.html", context)

    def restore_view(self, request: HttpRequest, revision_id: int) -> HttpResponse:
        """Asks once more, then goes back to the revision."""
        if not self.may_restore(request):
            raise PermissionDenied
        revision = self._get(revision_id)
        if request.method == "POST":
            return self._restore(request, revision)
        planned, problems = restoring.plan(revision)
        context = {
            "title": f"Back to revision {revision.pk}",
            "revision": revision,
            "differences": diff(documents.export(), restoring.document_of(revision)),
            "notes": planned.notes,
            "problems": problems,
        }
        return self._page(request, "configuration/restore.html", context)

    def _restore(self, request: HttpRequest, revision: Revision) -> HttpResponse:
        actor: Any = request.user
        try:
            applied = restoring.restore(revision=revision, actor=actor)
        except documents.DocumentRefused as refused:
            for problem in refused.problems:
                messages.error(request, str(problem))
            return HttpResponseRedirect(request.path)
        for note in applied.notes:
            messages.warning(request, note)
        if applied.is_noop:
            messages.info(request, "The configuration is what it was then already.")
        else:
            sentence = f"The configuration is that of revision {revision.pk} again."
            messages.success(request, sentence)
        return redirect("admin:configuration_revision_change", applied.revision)

    def _get(self, revision_id: str | int) -> Revision:
        found = Revision.objects.select_related("author").filter(pk=_number(revision_id)).first()
        if found is None:
            raise Http404
        return found

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        return TemplateResponse(
            request,
            template,
            self.admin_site.each_context(request)
            | {
                "opts": self.opts,
                "list_url": reverse("admin:configuration_revision_changelist"),
                "media": self.media,
            }
            | context,
        )


def _number(text: str | int) -> int:
    digits = str(text)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else 0
