"""Forms of quotas and budgets, on pages of their own and within their team, client or key."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator

from apps.billing.admin.money import MoneyForm, UsdField
from apps.billing.models import Budget, Quota

SCOPES = ("team", "client", "key")
LONGEST_S = 31 * 86_400


class ScopedForm(forms.ModelForm):
    """One team, client or key, chosen once: what was counted belongs to it. The page leaves the
    fields out once there is a row, and within an inline, where the page is the scope."""

    unique_with: tuple[str, ...] = ()

    @property
    def _scope_fields(self) -> list[str]:
        return [name for name in SCOPES if name in self.fields] if "team" in self.fields else []

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if len(self._scope_fields) > 1:
            self._check_scope(cleaned)
        self._check_once(cleaned)
        return cleaned

    def _check_scope(self, cleaned: dict[str, Any]) -> None:
        chosen = [name for name in self._scope_fields if cleaned.get(name)]
        if not chosen and not any(name in self.errors for name in self._scope_fields):
            self.add_error("team", "Choose a team, a client or a key that this is for.")
        for name in chosen[1:]:
            self.add_error(name, f"Leave this empty: a {chosen[0]} is chosen already.")

    def _check_once(self, cleaned: dict[str, Any]) -> None:
        scope = {name: cleaned.get(name) or getattr(self.instance, name) for name in SCOPES}
        given = {name: row for name, row in scope.items() if row is not None and row.pk}
        values = {name: cleaned.get(name) for name in self.unique_with}
        if len(given) != 1 or None in values.values():
            return
        same = type(self.instance)._default_manager.filter(**given, **values)
        if same.exclude(pk=self.instance.pk).exists():
            self.add_error(
                self.unique_with[-1], "There is one like this already: change that one instead."
            )


class QuotaForm(ScopedForm):
    unique_with = ("unit", "window_s")

    class Meta:
        model = Quota
        fields = (*SCOPES, "unit", "ceiling", "window_s", "is_active")
        help_texts = {
            "team": "All clients of the team together. Choose a team, a client or a key.",
            "client": "All keys of the client together.",
            "key": "This key alone.",
            "unit": "What is counted: requests, tokens (prompt and completion together), or "
            "requests that are running at the same time.",
            "ceiling": "The most that is let through; the request that would pass it gets 429.",
            "window_s": "Length of the sliding window: 60 is a minute, 3600 an hour, 86400 a day, "
            "at most 31 days. Running requests have no window.",
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


class BudgetForm(ScopedForm, MoneyForm):
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
        fields = (*SCOPES, "period", "is_active")
        help_texts = {
            "team": "All clients of the team together. Choose a team, a client or a key.",
            "client": "All keys of the client together.",
            "key": "This key alone.",
            "period": "When spending starts again from zero. It cannot be changed later: "
            "make another budget instead.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "period" in self.fields:
            self.fields["period"].disabled = self.instance.pk is not None
            self.fields["period"].widget.attrs["data-cv-period"] = "budget"
