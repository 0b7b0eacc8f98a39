"""Models without a price are told of where deployments are saved."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.html import format_html

from apps.billing.models import Price
from apps.providers import notices
from apps.providers.admin.next_step import page_link
from apps.providers.models import Deployment
from chatvault.lib import clock


def warnings_of(deployments: Sequence[Deployment]) -> list[str]:
    """One sentence a model that no book has a price for now."""
    models = list(dict.fromkeys(each.model for each in deployments))
    priced = Price.objects.valid_at(clock.now()).filter(model__in=models)
    known = set(priced.values_list("model", flat=True))
    return [
        format_html(
            "No price book has a price for {}: clients with a budget will get 402. {}",
            model,
            page_link("billing_price_add", "Add a price", model=model),
        )
        for model in models
        if model not in known
    ]


notices.register(warnings_of)
