"""Quotas and budgets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet, prefetch_related_objects
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import StackedInline, TabularInline
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    DropdownFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import display

from apps.accounts.admin.limited import asking
from apps.accounts.admin.pages import VersionedPage, actor_of, link_to
from apps.accounts.roles import Capability
from apps.billing import quota_history, quota_uses, services, words
from apps.billing.admin import bars
from apps.billing.admin.budget_raises import RaisesShown
from apps.billing.admin.limit_forms import (
    SCOPES,
    BudgetForm,
    OverrideForm,
    QuotaForm,
    StageFormSet,
)
from apps.billing.admin.money import MoneyMedia
from apps.billing.admin.outlook_columns import OutlookColumns
from apps.billing.budget_use import uses_of
from apps.billing.models import (
    BUDGET_SCOPES,
    Budget,
    BudgetRaise,
    BudgetStage,
    BudgetWindow,
    Quota,
    QuotaOverride,
)
from apps.billing.models import SCOPES as QUOTA_SCOPES
from chatvault.lib import clock

FOR_WHOM = ("For whom", {"fields": SCOPES})
FOR_THEM = ("For whom", {"fields": ("scope_shown",)})
A_DAY = timedelta(days=1)


class ScopeFilter(DropdownFilter):
    title = "scope"
    parameter_name = "scope"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        names = {"alias": "Models", "user": "People"}
        return [(one, names.get(one, f"{one.capitalize()}s")) for one in model_admin.scopes]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        fields = {field.name for field in queryset.model._meta.fields}
        if self._is_tag(queryset):
            return queryset.exclude(tag="")
        if self.value() not in QUOTA_SCOPES or self.value() not in fields:
            return queryset
        return queryset.filter(~Q(**{str(self.value()): None}))

    def _is_tag(self, queryset: QuerySet[Any]) -> bool:
        return self.value() == "tag" and queryset.model is Budget


class ScopedAdmin(VersionedPage):
    """Rules on one of `scopes`."""

    scopes: tuple[str, ...] = SCOPES
    list_select_related: tuple[str, ...] = ("team", "client", "key__client")
    search_fields: tuple[str, ...] = (
        "team__name", "client__name", "client__team__name", "key__name", "key__client__name",
    )  # fmt: skip
    autocomplete_fields: tuple[str, ...] = SCOPES
    actions = ("activate", "deactivate")

    Media = MoneyMedia

    @display(description="for", header=True)
    def whom(self, rule: Any) -> list[str]:
        kind = rule.kind
        return [str(rule.scope), {"alias": "model", "user": "person"}.get(kind, kind)]

    @display(description="for")
    def scope_shown(self, rule: Any) -> str | SafeString:
        return rule.tag if rule.kind == "tag" else link_to(rule.scope)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fieldsets if obj is None else (FOR_THEM, *self.fieldsets[1:])

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        services.limits_changed()
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        services.limits_changed()
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        services.limits_changed()
        return super().log_deletions(request, queryset)

    @admin.action(description="Activate", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        count = queryset.filter(is_active=False).update(is_active=True)
        services.limits_changed()
        self.message_user(request, f"{count} {self.opts.verbose_name_plural} activated.")

    @admin.action(description="Deactivate", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        count = queryset.filter(is_active=True).update(is_active=False)
        services.limits_changed()
        self.message_user(request, f"{count} {self.opts.verbose_name_plural} deactivated.")


class OverridesOnPage(StackedInline):
    """Ceilings for a while, of the quota whose page this is on."""

    model = QuotaOverride
    form = OverrideForm
    extra = 0
    fields = ("ceiling", "starts_at", "ends_at", "reason", "state", "author_name")
    readonly_fields = ("state", "author_name")

    @display(description="state", label={"holds now": "success", "to come": "info"})
    def state(self, override: QuotaOverride) -> str:
        now = clock.now()
        if not override.pk:
            return "–"
        if override.is_on(now):
            return "holds now"
        return "to come" if override.starts_at > now else "ended"


@admin.register(Quota)
class QuotaAdmin(ScopedAdmin):
    """How much in how long."""

    form = QuotaForm
    scopes = QUOTA_SCOPES
    autocomplete_fields = QUOTA_SCOPES
    list_select_related = ("team", "client", "key__client", "user", "alias", "provider")
    search_fields = (
        *ScopedAdmin.search_fields, "user__username", "alias__name", "provider__name",
    )  # fmt: skip
    list_display = ("whom", "in_words", "use", "mode", "refused_lately", "for_now", "is_active")
    list_filter = (
        ScopeFilter, ("unit", ChoicesDropdownFilter), "observes", "is_active",
        ("team", RelatedDropdownFilter),
    )  # fmt: skip
    list_filter_submit = True
    fieldsets = (
        ("For whom", {"fields": QUOTA_SCOPES}),
        (
            "How much",
            {"fields": ("unit", "ceiling", "window_s", "live_words", "observes", "is_active")},
        ),
        ("Now", {"fields": ("use", "refused_lately")}),
    )
    readonly_fields = ("scope_shown", "live_words", "use", "refused_lately")
    inlines = (OverridesOnPage,)
    falls_with = (QuotaOverride,)

    def get_fieldsets(self, request: HttpRequest, obj: Quota | None = None) -> Any:
        if obj is not None:
            return super().get_fieldsets(request, obj)
        may_all = asking(request).may(Capability.LIMITS_WRITE)
        whom = QUOTA_SCOPES if may_all else ("client", "key")
        return (("For whom", {"fields": whom}), self.fieldsets[1])

    def get_inlines(self, request: HttpRequest, obj: Quota | None = None) -> Any:
        return self.inlines if obj is not None else ()

    def fill_in(self, rows: Sequence[Any]) -> None:
        prefetch_related_objects(rows, "overrides")
        sums = quota_history.sums_since(clock.now() - A_DAY, [row.pk for row in rows])
        for use in quota_uses.uses_of(rows):
            row: Any = use.quota
            row.use_now, row.sums = use, sums.get(row.pk, quota_history.Sums())

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Who made an override is kept with it, also when the account goes."""
        for each in formset.forms:
            override = each.instance
            if isinstance(override, QuotaOverride) and override.pk is None:
                override.author = actor_of(request)
                override.author_name = actor_of(request).get_username()
        super().save_formset(request, form, formset, change)

    @display(description="quota", ordering="ceiling")
    def in_words(self, quota: Quota) -> str:
        return words.quota_in_words(quota)

    @display(description="in words")
    def live_words(self, quota: Quota | None) -> SafeString:
        text = words.quota_in_words(quota) if quota is not None and quota.pk else "–"
        return format_html('<output class="cv-example" data-cv-example="quota">{}</output>', text)

    @display(description="used now")
    def use(self, quota: Any) -> str | SafeString:
        known = getattr(quota, "use_now", None) or quota_uses.uses_of([quota])[0]
        return bars.quota_bar(known)

    @display(description="mode", label={"refuses": "success", "observes": "info"})
    def mode(self, quota: Quota) -> str:
        return "observes" if quota.observes else "refuses"

    @display(description="refused in 24 h")
    def refused_lately(self, quota: Any) -> str:
        sums = getattr(quota, "sums", None)
        if sums is None:
            found = quota_history.sums_since(clock.now() - A_DAY, [quota.pk])
            sums = found.get(quota.pk, quota_history.Sums())
        if quota.observes or sums.observed:
            return f"{sums.refused:,} (would have: {sums.observed:,})"
        return f"{sums.refused:,}"

    @display(description="temporary ceiling")
    def for_now(self, quota: Any) -> str:
        use = quota.use_now
        return f"{use.ceiling:,} until {use.ends_at:%Y-%m-%d %H:%M}" if use.ends_at else "–"


class StagesOnPage(TabularInline):
    """What happens on the way to the amount."""

    model = BudgetStage
    formset = StageFormSet
    fields = ("at_percent", "action", "requests_per_minute", "alias")
    autocomplete_fields = ("alias",)
    extra = 0
    verbose_name_plural = (
        "Stages. Without any, requests that could pass 100 % are refused; with some, only a stage "
        "with the action to refuse does that"
    )


@admin.register(Budget)
class BudgetAdmin(OutlookColumns, RaisesShown, ScopedAdmin):
    """The most that may be spent. Period and scope stay as they were made."""

    form = BudgetForm
    scopes = BUDGET_SCOPES
    autocomplete_fields = BUDGET_SCOPES[:-1]
    inlines: tuple[Any, ...] = (StagesOnPage,)
    list_select_related = (*ScopedAdmin.list_select_related, "user", "alias", "provider")
    search_fields = (
        *ScopedAdmin.search_fields, "user__username", "alias__name", "provider__name", "tag",
    )  # fmt: skip
    list_display = (
        "whom", "in_words", "use", "stage_now", "resets_at", "forecast", "runs_out_on", "is_active",
    )  # fmt: skip
    list_filter = (
        ScopeFilter, ("period", ChoicesDropdownFilter), "is_active",
        ("team", RelatedDropdownFilter),
    )  # fmt: skip
    list_filter_submit = True
    fieldsets = (
        ("For whom", {"fields": BUDGET_SCOPES}),
        (
            "How much",
            {
                "fields": (
                    "amount_usd",
                    "period",
                    "length_days",
                    "starts_on",
                    "time_zone",
                    "rolls_over",
                    "live_words",
                    "is_active",
                )
            },
        ),
        (
            "Now",
            {
                "fields": (
                    "use",
                    "raises_shown",
                    "stage_now",
                    "resets_at",
                    "forecast",
                    "runs_out_on",
                )
            },
        ),
    )
    readonly_fields = (
        "scope_shown", "live_words", "use", "raises_shown", "stage_now", "resets_at", "forecast",
        "runs_out_on",
    )  # fmt: skip
    falls_with = (BudgetWindow, BudgetStage, BudgetRaise)

    def get_fieldsets(self, request: HttpRequest, obj: Budget | None = None) -> Any:
        shown = super().get_fieldsets(request, obj)
        return shown if obj is not None else shown[:2]

    def fill_in(self, rows: Sequence[Any]) -> None:
        uses = uses_of(rows, clock.now())
        prefetch_related_objects(rows, "stages__alias")
        for budget in rows:
            budget.use = uses[budget.pk]
        self.put_outlooks(rows)

    @display(description="budget", ordering="amount_nano")
    def in_words(self, budget: Budget) -> str:
        return words.budget_in_words(budget)

    @display(description="amount")
    def amount_usd(self, budget: Budget) -> str:
        return words.budget_in_words(budget)

    @display(description="in words")
    def live_words(self, budget: Budget | None) -> SafeString:
        text = words.budget_in_words(budget) if budget is not None and budget.pk else "–"
        return format_html('<output class="cv-example" data-cv-example="budget">{}</output>', text)

    @display(description="spent, held and left")
    def use(self, budget: Any) -> str | SafeString:
        return bar_of(budget, "")  # the period stands beside it

    @display(description="stage now")
    def stage_now(self, budget: Any) -> str:
        use = getattr(budget, "use", None) or uses_of([budget], clock.now())[budget.pk]
        return words.stage_in_words(budget, use.share)

    @display(description="begins anew")
    def resets_at(self, budget: Budget) -> str:
        return words.reset_in_words(budget, clock.now())


class _OnPage(TabularInline):
    """Rules of the team, client or key whose page this is on."""

    extra = 0
    hide_title = True


class QuotasOnPage(_OnPage):
    model = Quota
    form = QuotaForm
    fields = ("unit", "ceiling", "window_s", "in_words", "observes", "is_active")
    readonly_fields = ("in_words",)

    @display(description="in words")
    def in_words(self, quota: Quota) -> str:
        return words.quota_in_words(quota) if quota.pk else "–"


class _OnePeriodEach(BaseInlineFormSet):
    """Two budgets of one period are told in the form, not by the database."""

    def clean(self) -> None:
        super().clean()
        seen: set[tuple[str, int, str]] = set()
        for form in self.forms:
            if form in self.deleted_forms or not (form.has_changed() or form.instance.pk):
                continue
            budget = form.instance
            key = (budget.period, budget.length_days, budget.time_zone)
            if key in seen:
                raise ValidationError("Please correct the duplicate data for period.")
            seen.add(key)


class BudgetsOnPage(_OnPage):
    model = Budget
    form = BudgetForm
    formset = _OnePeriodEach
    fields = ("amount_usd", "period", "use", "is_active")
    readonly_fields = ("use",)

    @display(description="amount")
    def amount_usd(self, budget: Budget) -> str:
        return words.budget_in_words(budget)

    @display(description="spent, held and left")
    def use(self, budget: Budget) -> str | SafeString:
        return bar_of(budget) if budget.pk else "–"


def bar_of(budget: Any, period: str | None = None) -> str | SafeString:
    use = getattr(budget, "use", None) or uses_of([budget], clock.now())[budget.pk]
    return bars.bar(use, budget.period if period is None else period)
