"""A box in a form that shows what requests cost while people type: the server works it out with the
function that bills, so it is right for every condition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseNotAllowed, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.billing.bill_examples import Example, NotYet

if TYPE_CHECKING:
    from unfold.admin import ModelAdmin as _Base
else:
    _Base = object


class BillExamples(_Base):
    """For admins whose form has a field `examples`. POST to `…/examples/` changes nothing."""

    def examples_of(self, request: HttpRequest) -> list[Example]:
        """From the fields of the form. Raises NotYet."""
        raise NotYet

    def get_urls(self) -> list[URLPattern]:
        place = path(
            "examples/",
            self.admin_site.admin_view(self._answer),
            name=f"{self.opts.app_label}_{self.opts.model_name}_examples",
        )
        return [place, *super().get_urls()]

    def examples_box(self, examples: list[Example]) -> SafeString:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_examples"
        lines = format_html_join(
            "", "<div><dt>{}</dt><dd>{}</dd></div>", ((e.what, e.amount) for e in examples)
        )
        return format_html(
            '<dl class="cv-bills" data-cv-bills="{}" aria-live="polite">{}</dl>',
            reverse(name),
            lines,
        )

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (self.has_view_permission(request) or self.has_add_permission(request)):
            raise PermissionDenied
        try:
            examples = self.examples_of(request)
        except NotYet as why:
            return JsonResponse({"examples": [], "why": str(why)})
        return JsonResponse({"examples": [example._asdict() for example in examples]})


def first_error(form: forms.BaseForm) -> str:
    """One thing that keeps a form from being a price."""
    name, errors = next(iter(form.errors.as_data().items()))
    field: Any = form.fields.get(name)
    label = field.label if field else name
    if errors[0].code == "required":
        return f"Shown once there is something in “{label}”."
    return f"{label}: {errors[0].messages[0]}"
