"""On the page of a budget: at which lines it is told of."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from unfold.admin import StackedInline
from unfold.widgets import UnfoldAdminTextInputWidget

from apps.alerts import budgets
from apps.alerts.models import BudgetLines
from apps.billing.admin.limits import BudgetAdmin
from apps.billing.models import Budget

admin.site.unregister(Budget)


class Percents(forms.CharField):
    """Lines with commas between them, kept as a list."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(str(each) for each in value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return []
        try:
            return budgets.percents_of(text)
        except ValueError as problem:
            raise forms.ValidationError(str(problem)) from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.prepare_value(initial or []) != (data or "").strip())


class LinesForm(forms.ModelForm):
    percents = Percents(
        label="Tell at",
        max_length=100,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "80, 100"}),
        help_text="Percent of the amount at which channels are told, such as 50, 80, 100: of "
        "$200.00 at $100.00, $160.00 and $200.00. Remove it for the lines of the installation, "
        "CHATVAULT_ALERTS_BUDGET_LINES.",
    )

    class Meta:
        model = BudgetLines
        fields = ("percents",)


class LinesOnPage(StackedInline):
    model = BudgetLines
    form = LinesForm
    extra = 0
    fields = ("percents",)
    verbose_name = "alert line"


@admin.register(Budget)
class BudgetWithLinesAdmin(BudgetAdmin):
    inlines = (*BudgetAdmin.inlines, LinesOnPage)

    def get_inlines(self, request: Any, obj: Any = None) -> Any:
        shown = super().get_inlines(request, obj)
        return shown if obj is not None else tuple(x for x in shown if x is not LinesOnPage)
