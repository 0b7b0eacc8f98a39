"""What to price again, and with what."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from apps.accounts.models import Client, Team
from apps.billing.models import PriceBook, TierTerms
from apps.providers.models import Alias, Deployment, Provider
from apps.repricing.asked import check
from apps.repricing.models import Repricing


class TermsField(forms.ModelChoiceField):
    """Versions of tiers, the newest first."""

    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.tier_name}, version {obj.pk} of {obj.created_at:%Y-%m-%d}"


class RepricingForm(forms.ModelForm):
    """The first step: everything else is done by buttons."""

    team = forms.ModelChoiceField(
        Team.objects.order_by("name"), required=False, empty_label="All",
        widget=UnfoldAdminSelectWidget(),
        help_text="Only requests of this team; empty: of all teams.",
    )  # fmt: skip
    client = forms.ModelChoiceField(
        Client.objects.select_related("team").order_by("name"), required=False,
        empty_label="All", widget=UnfoldAdminSelectWidget(),
        help_text="Only requests of this client; empty: of all.",
    )  # fmt: skip
    alias = forms.ChoiceField(
        required=False, widget=UnfoldAdminSelectWidget(),
        help_text="Only requests for this model, as clients ask for it; empty: for all.",
    )  # fmt: skip
    model = forms.ChoiceField(
        required=False, label="Provider's model", widget=UnfoldAdminSelectWidget(),
        help_text="Only requests that this model answered, as its provider calls it; empty: all.",
    )  # fmt: skip
    provider_name = forms.ChoiceField(
        required=False, label="Provider", widget=UnfoldAdminSelectWidget(),
        help_text="Only requests that this provider answered; empty: all.",
    )  # fmt: skip
    book = forms.ModelChoiceField(
        PriceBook.objects.order_by("name"), required=False, empty_label="–",
        widget=UnfoldAdminSelectWidget(),
        help_text="For “another price book”: its prices are put in place of each client's own.",
    )  # fmt: skip
    terms = TermsField(
        TierTerms.objects.order_by("tier_name", "-pk"), required=False, empty_label="–",
        widget=UnfoldAdminSelectWidget(),
        help_text="For “a version of a pricing tier”: its mark-up, fixed prices and book.",
    )  # fmt: skip
    starts_at = forms.SplitDateTimeField(
        label="From", widget=UnfoldAdminSplitDateTimeWidget(),
        help_text="In UTC. A request belongs to the range by when it began. For example "
        "2026-11-01 00:00 until 2026-12-01 00:00 for November.",
    )  # fmt: skip
    ends_at = forms.SplitDateTimeField(
        label="Until", widget=UnfoldAdminSplitDateTimeWidget(),
        help_text="In UTC; this instant is not part of the range.",
    )  # fmt: skip
    prices_at = forms.SplitDateTimeField(
        label="Prices of", required=False, widget=UnfoldAdminSplitDateTimeWidget(),
        help_text="The instant whose prices are meant, in UTC. Empty: the prices that are now "
        "recorded for when each request began, which is what a correction of the past needs.",
    )  # fmt: skip

    class Meta:
        model = Repricing
        fields = (
            "reason", "starts_at", "ends_at", "alias", "model", "provider_name", "basis", "book",
            "terms", "prices_at", "as_credit_note",
        )  # fmt: skip
        widgets: ClassVar = {
            "reason": UnfoldAdminTextInputWidget(),
            "basis": UnfoldAdminSelectWidget(),
            "as_credit_note": UnfoldBooleanSwitchWidget(),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, values in (
            ("alias", Alias.objects.values_list("name", flat=True)),
            ("model", Deployment.objects.values_list("model", flat=True)),
            ("provider_name", Provider.objects.values_list("name", flat=True)),
        ):
            choices = [("", "All"), *((value, value) for value in sorted(set(values)))]
            self.fields[name].choices = choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        check(cleaned, self.add_error)
        client, team = cleaned.get("client"), cleaned.get("team")
        if client and team and client.team_id != team.pk:
            self.add_error("client", "It belongs to another team.")
        self.instance.team_id = team.pk if team else None
        self.instance.client_id = client.pk if client else None
        return cleaned
