"""Raises of budgets for a while: one asks, another approves."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from apps.accounts import permissions
from apps.accounts.admin.limited import asking
from apps.accounts.admin.pages import Page, actor_of, link_to
from apps.billing import budget_raises
from apps.billing.admin.money import MoneyForm, MoneyMedia, UsdField, usd_column
from apps.billing.budget_raises import RaiseRefused
from apps.billing.models import Budget, BudgetRaise
from chatvault.lib import clock
from chatvault.lib.money import format_usd

MOST_SHOWN = 10
_ASKED = ("budget", "extra_usd", "starts_at", "ends_at", "reason")
_SHOWN = ("budget_shown", "extra", "starts_at", "ends_at", "reason", "state_shown", "people")


class AskForm(MoneyForm):
    """What is asked for stays as it is."""

    money: ClassVar[dict[str, str]] = {"extra_usd": "extra_nano"}
    extra_usd = UsdField(
        label="More",
        help_text="In USD, beside the amount: a budget of $100.00 with 50 more is one of $150.00.",
        min_value=Decimal("0.000000001"),
    )

    class Meta:
        model = BudgetRaise
        fields = ("budget", "starts_at", "ends_at", "reason")
        help_texts = {
            "budget": "Whose amount is not enough for a while.",
            "starts_at": "Such as 2026-12-01 08:00, in the time zone of the admin (UTC).",
            "ends_at": "From then on the amount alone holds again, by itself.",
            "reason": "Why, for whoever approves it: “launch of the new site”.",
        }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        starts, ends = cleaned.get("starts_at"), cleaned.get("ends_at")
        if starts and ends and ends <= starts:
            self.add_error("ends_at", "It must end after it starts.")
        elif ends and ends <= clock.now():
            self.add_error("ends_at", "This is past already: choose a time to come.")
        return cleaned


class DecideForm(forms.ModelForm):
    who: ClassVar[Any] = None
    decision = forms.ChoiceField(
        choices=[("", "–"), ("approve", "Approve"), ("decline", "Decline"), ("end", "End now")],
        widget=UnfoldAdminSelectWidget(),
        help_text="Whoever asked cannot approve it, unless they may do everything; they may take "
        "it back. An approved one can be ended before its time.",
    )

    class Meta:
        model = BudgetRaise
        fields: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Only what its state allows is offered."""
        super().__init__(*args, **kwargs)
        if "decision" in self.fields:
            field: Any = self.fields["decision"]
            field.choices = [
                (word, label)
                for word, label in field.choices
                if not word or budget_raises.DECISIONS[word][0] == self.instance.state
            ]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("decision"):
            try:
                budget_raises.check(self.instance, cleaned["decision"], by=self.who)
            except RaiseRefused as refused:
                self.add_error("decision", str(refused))
        return cleaned


class RaisesShown:
    """For the admin of budgets: what was asked for, and the way to ask."""

    @display(description="raises")
    def raises_shown(self, budget: Budget | None) -> str | SafeString:
        if budget is None or budget.pk is None:
            return "–"
        rows = budget.raises.exclude(state=BudgetRaise.State.DECLINED)[:MOST_SHOWN]
        told = format_html_join(
            "", "<div>{}, {}</div>", ((link_to(row, _in_words(row)), _state(row)) for row in rows)
        )
        url = f"{reverse('admin:billing_budgetraise_add')}?budget={budget.pk}"
        return format_html('{}<a class="cv-link" href="{}">Ask for a raise</a>', told, url)


def _sees(request: HttpRequest) -> bool:
    """Whoever may change limits need not see money."""
    return permissions.may(asking(request), "view", BudgetRaise)


def _in_words(row: BudgetRaise) -> str:
    return f"{format_usd(row.extra_nano, 2)} until {row.ends_at:%Y-%m-%d %H:%M}"


def _state(row: BudgetRaise) -> str:
    now = clock.now()
    if row.state != BudgetRaise.State.APPROVED:
        return row.get_state_display().lower()
    if row.is_on(now):
        return "holds now"
    return "to come" if row.starts_at > now else "over"


@admin.register(BudgetRaise)
class BudgetRaiseAdmin(Page):
    """Asked for by whoever may change limits in the team; decided by who may change the budget."""

    list_display = ("whose", "extra", "starts_at", "ends_at", "state_shown", "people", "reason")
    list_filter = (("state", ChoicesDropdownFilter), ("budget__team", RelatedDropdownFilter))
    list_filter_submit = True
    list_select_related = (
        "budget__team", "budget__client__team", "budget__key__client__team", "budget__user",
        "budget__alias", "budget__provider",
    )  # fmt: skip
    search_fields = (
        "reason", "author_name", "budget__team__name", "budget__client__name", "budget__key__name",
        "budget__user__username", "budget__alias__name", "budget__tag",
    )  # fmt: skip
    autocomplete_fields = ("budget",)
    actions = None
    extra = usd_column("extra_nano", "more")

    Media = MoneyMedia

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _sees(request) and super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _sees(request) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _sees(request) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_form(self, request: HttpRequest, obj: Any = None, *args: Any, **kwargs: Any) -> Any:
        if obj is None:
            return super().get_form(request, obj, *args, **kwargs | {"form": AskForm})
        form = type("DecideFormOfCaller", (DecideForm,), {"who": asking(request)})
        return super().get_form(request, obj, *args, **kwargs | {"form": form})

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Nobody asks for more of a budget that they do not see."""
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "budget" and field is not None:
            field.queryset = permissions.limit(field.queryset, asking(request))
        return field

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ((None, {"fields": _ASKED}),)
        may_decide = self.has_change_permission(request, obj)
        return ((None, {"fields": (*_SHOWN, *(("decision",) if may_decide else ()))}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else _SHOWN

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        self._check(request, "change" if change else "add", obj)
        if change:
            budget_raises.decide(obj, form.cleaned_data["decision"], by=asking(request))
        else:
            obj.author, obj.author_name = actor_of(request), actor_of(request).get_username()
            budget_raises.ask(obj)

    @display(description="for", header=True)
    def whose(self, row: BudgetRaise) -> list[str]:
        return [str(row.budget.scope), f"per {row.budget.shape}"]

    @display(description="budget")
    def budget_shown(self, row: BudgetRaise) -> str | SafeString:
        return link_to(row.budget)

    @display(
        description="state",
        label={"holds now": "success", "to come": "info", "asked for": "warning"},
    )
    def state_shown(self, row: BudgetRaise) -> str:
        return _state(row)

    @display(description="asked by, decided by")
    def people(self, row: BudgetRaise) -> str:
        return ", ".join(name for name in (row.author_name, row.approver_name) if name)
