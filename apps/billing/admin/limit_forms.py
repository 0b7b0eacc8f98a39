"""Forms of quotas and budgets, on pages of their own and within their team, client or key."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.forms.models import BaseInlineFormSet

from apps.billing.admin.money import MoneyForm, UsdField
from apps.billing.limits.periods import LONGEST_DAYS, period_text
from apps.billing.models import (
    BUDGET_SCOPES,
    OF_PROVIDERS,
    STAGES_OF_PROVIDERS,
    Budget,
    Quota,
    QuotaOverride,
)
from apps.billing.models import SCOPES as QUOTA_SCOPES
from chatvault.lib import clock

SCOPES = ("team", "client", "key")
"""On whose pages rules are shown."""
LONGEST_S = 31 * 86_400


class ScopedForm(forms.ModelForm):
    """One team, client or key, chosen once: what was counted belongs to it. The page leaves the
    fields out once there is a row, and within an inline, where the page is the scope."""

    scopes: tuple[str, ...] = SCOPES
    unique_with: tuple[str, ...] = ()
    nobody = "Choose a team, a client or a key that this is for."

    @property
    def _scope_fields(self) -> list[str]:
        return [name for name in self.scopes if name in self.fields]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if len(self._scope_fields) > 1:
            self._check_scope(cleaned)
        self._check_once(cleaned)
        return cleaned

    def _check_scope(self, cleaned: dict[str, Any]) -> None:
        chosen = [name for name in self._scope_fields if cleaned.get(name)]
        if not chosen and not any(name in self.errors for name in self._scope_fields):
            self.add_error(self._scope_fields[0], self.nobody)
        for name in chosen[1:]:
            self.add_error(name, f"Leave this empty: a {chosen[0]} is chosen already.")

    def _check_once(self, cleaned: dict[str, Any]) -> None:
        scope = {name: cleaned.get(name) or getattr(self.instance, name) for name in self.scopes}
        given = {name: row for name, row in scope.items() if getattr(row, "pk", row)}
        values = {name: cleaned.get(name) for name in self.unique_with}
        if len(given) != 1 or None in values.values():
            return
        values |= self.also_unique(cleaned)
        same = type(self.instance)._default_manager.filter(**given, **values)
        if same.exclude(pk=self.instance.pk).exists():
            self.add_error(
                self.unique_with[-1], "There is one like this already: change that one instead."
            )

    def also_unique(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        """What may be left empty and tells rules apart all the same."""
        return {}


class QuotaForm(ScopedForm):
    scopes = QUOTA_SCOPES
    unique_with = ("unit", "window_s")
    nobody = "Choose what this is for: a team, a client, a key, a person, a model or a provider."

    class Meta:
        model = Quota
        fields = (*QUOTA_SCOPES, "unit", "ceiling", "window_s", "observes", "is_active")
        labels = {"user": "Person", "alias": "Model"}
        help_texts = {
            "team": "All clients of the team together. Choose exactly one of these.",
            "client": "All keys and tokens of the client together.",
            "key": "This key alone.",
            "user": "All tokens (JWT and OAuth) of the person together, whichever client pays.",
            "alias": "Everybody who asks for this model, together: it protects what is behind it.",
            "provider": "All calls to the provider together. One that is reached is passed over "
            "while another deployment of the model is free, else the answer is 429. For example "
            "what the provider's contract allows, less a little.",
            "unit": "What is counted: requests; tokens (prompt and completion together); tokens of "
            "prompts or of completions alone; or requests that are running at the same time.",
            "ceiling": "The most that is let through; the request that would pass it gets 429. For "
            "example 600 requests in 60 seconds, or 2000000 tokens in 86400.",
            "window_s": "Length of the sliding window: 60 is a minute, 3600 an hour, 86400 a day, "
            "at most 31 days. Running requests have no window.",
            "observes": "Refuse nothing, only count what would have been refused: to try a ceiling "
            "before it is in force. Callers do not notice.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "window_s" in self.fields:
            self.fields["window_s"].validators += [
                MinValueValidator(1), MaxValueValidator(LONGEST_S, "At most 31 days (2678400).")
            ]  # fmt: skip
            self.fields["ceiling"].validators.append(MinValueValidator(1))
            for name in ("unit", "ceiling", "window_s"):
                self.fields[name].widget.attrs["data-cv-quota"] = name

    def clean_window_s(self) -> Any:
        is_concurrency = self.cleaned_data.get("unit") == Quota.Unit.CONCURRENCY
        return 1 if is_concurrency else self.cleaned_data["window_s"]


_SHAPE = ("period", "length_days", "starts_on", "time_zone")
_WITH_LENGTH = (Budget.Period.CUSTOM, Budget.Period.ROLLING)


class BudgetForm(ScopedForm, MoneyForm):
    scopes = BUDGET_SCOPES
    nobody = "Choose what this is for: one of these, or a tag."
    unique_with = ("period",)
    money = {"amount_usd": "amount_nano"}
    amount_usd = UsdField(
        label="Amount",
        help_text="In USD, such as 25 or 0.5. A request that could cost more than what is left "
        "is refused before it is sent; 0 refuses everything that has a price.",
        example="budget",
    )

    class Meta:
        model = Budget
        fields = (*BUDGET_SCOPES, *_SHAPE, "rolls_over", "is_active")
        labels = {"user": "Person", "alias": "Model"}
        help_texts = {
            "team": "All clients of the team together. Choose exactly one of these.",
            "client": "All keys of the client together.",
            "key": "This key alone.",
            "user": "All tokens of the person together, whichever client pays.",
            "alias": "Everybody who asks for this model, together.",
            "provider": "What all calls to the provider cost together, before any mark-up. When it "
            "is used up, other providers of a model serve; where there is none, the answer is 503. "
            "Its stages observe and refuse. Nothing is held: what is in flight can come on top.",
            "tag": "All requests with the tag, such as project=atlas.",
            "period": "When spending starts again from zero. It cannot be changed later: "
            "make another budget instead.",
            "length_days": f"Of a number of days, and of the last days: 1 to {LONGEST_DAYS}. "
            "The others have none: keep 0.",
            "starts_on": "Of a number of days: the first day of one of the periods, such as "
            "2026-01-05. The others have none.",
            "time_zone": "Whose midnight counts, such as Europe/Berlin. A day has 23 or 25 hours "
            "there when the clocks change.",
            "rolls_over": "What is left of the amount at the end is added to the next period, and "
            "to that one alone: at most one amount more.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in _SHAPE:
            if name in self.fields:
                self.fields[name].disabled = self.instance.pk is not None
        if "period" in self.fields:
            self.fields["period"].widget.attrs["data-cv-period"] = "budget"
            if "length_days" not in self.fields and self.instance.period not in _WITH_LENGTH:
                field: Any = self.fields["period"]
                field.choices = [one for one in field.choices if one[0] not in _WITH_LENGTH]
        for name in ("length_days", "time_zone"):
            if name in self.fields:
                self.fields[name].required = False

    def also_unique(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        return {
            "length_days": cleaned.get("length_days") or self.instance.length_days,
            "time_zone": cleaned.get("time_zone") or self.instance.time_zone,
        }

    def clean_length_days(self) -> int:
        return self.cleaned_data.get("length_days") or 0

    def clean_time_zone(self) -> str:
        name = (self.cleaned_data.get("time_zone") or "UTC").strip()
        try:
            period_text("day", zone=name)
        except ValueError:
            message = "There is no such time zone: write one as Europe/Berlin, or UTC."
            raise ValidationError(message) from None
        return name


class StageFormSet(BaseInlineFormSet):
    def clean(self) -> None:
        super().clean()
        if self.instance.provider_id is None:
            return
        for form in self.forms:
            action = form.cleaned_data.get("action") if form.is_valid() else None
            if action and action not in OF_PROVIDERS and not form.cleaned_data.get("DELETE"):
                form.add_error("action", STAGES_OF_PROVIDERS)


class OverrideForm(forms.ModelForm):
    """Another ceiling for a while. It ends by itself; what has ended is kept to be seen."""

    class Meta:
        model = QuotaOverride
        fields = ("ceiling", "starts_at", "ends_at", "reason")
        help_texts = {
            "ceiling": "In the quota's own unit, higher or lower than its ceiling.",
            "starts_at": "Such as 2026-12-01 08:00, in the time zone of the admin (UTC).",
            "ends_at": "From then on the quota's own ceiling holds again, by itself.",
            "reason": "Why, for whoever reads it later: “launch of the new site”.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "ceiling" in self.fields:
            self.fields["ceiling"].validators.append(MinValueValidator(1))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        starts, ends = cleaned.get("starts_at"), cleaned.get("ends_at")
        if starts and ends and ends <= starts:
            self.add_error("ends_at", "It must end after it starts.")
        elif ends and ends <= clock.now() and "ends_at" in self.changed_data:
            self.add_error("ends_at", "This is past already: choose a time to come.")
        return cleaned
