"""What the page of one request shows: its way, its tokens and how its cost came about."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

from django.urls import NoReverseMatch, reverse

from apps.accounts import permissions
from apps.accounts.permissions import principal_of
from apps.accounts.principals import Principal
from apps.billing.models import LedgerEntry, Price, PricingTier
from apps.billing.words import percent
from apps.providers.models import Deployment
from apps.usage import formula
from apps.usage.admin.formula_box import formula_of
from apps.usage.figures import count_text, milliseconds
from apps.usage.models import Attempt, RequestLog
from chatvault.lib.money import format_usd

_WORDS = {
    "ok": "answered",
    "error": "failed",
    "cancelled": "the client hung up",
    "interrupted": "interrupted: the gateway died, or lost the journal",
}


class Fact(NamedTuple):
    name: str
    value: str
    link: str = ""


def context_of(row: RequestLog, viewer: Any) -> dict[str, Any]:
    """Everything that `usage/request.html` shows, in a fixed number of queries. Links go where the
    viewer, a user, may follow them."""
    price = Price.objects.select_related("book").filter(pk=row.price_id or 0).first()
    tier = PricingTier.objects.filter(pk=row.tier_id or 0).first()
    return {
        "row": row,
        "facts": [followed(fact, viewer) for fact in (*_facts(row), *_more_facts(row))],
        "times": _times(row),
        "formula": formula_of(row, formula.Versions()),
        "price": price,
        "words": cost_in_words(row, price, tier),
        "attempts": _attempts(row),
        "entries": _entries(row, principal_of(viewer)),
        "outcome": _WORDS.get(row.outcome, row.outcome),
    }


def credential_of(row: RequestLog) -> str:
    """With what it was called: a key by its name, a token by whose it is."""
    if row.key_id:
        return row.key_name or f"key {row.key_id}"
    if row.application_id:
        return f"OAuth application {row.application_id}" + (
            f" for {row.user_name}" if row.user_name else ""
        )
    return f"JWT of {row.user_name}" if row.user_name else "JWT of an outside issuer"


def tags_of(row: RequestLog) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted((row.tags or {}).items()))


def _credential(row: RequestLog) -> Fact:
    if row.key_id:
        return Fact("Key", credential_of(row), _link("accounts_apikey", row.key_id))
    return Fact("Token", credential_of(row), _link("accounts_user", row.user_id))


def _facts(row: RequestLog) -> list[Fact]:
    return [
        Fact("Team", row.team_name or str(row.team_id), _link("accounts_team", row.team_id)),
        Fact(
            "Client", row.client_name or str(row.client_id), _link("accounts_client", row.client_id)
        ),
        _credential(row),
        Fact("Alias", row.alias),
        Fact(
            "Deployment",
            row.deployment_name or "(none called)",
            _link("providers_deployment", row.deployment_id),
        ),
        Fact("Provider", row.provider_name or "–", _link("providers_provider", row.provider_id)),
        Fact("Service tier", row.service_tier or "not told"),
        Fact("Tags", tags_of(row) or "none"),
        Fact("Operation", f"{row.operation}{', streamed' if row.is_stream else ''}"),
        *([Fact("Service tier", row.service_tier)] if row.service_tier else []),
        Fact(
            "Configuration",
            f"revision {row.revision}" if row.revision else "before the first revision",
            _link("configuration_revision", row.revision or None),
        ),
    ]


def _more_facts(row: RequestLog) -> list[Fact]:
    """What only some requests have."""
    found = [
        Fact("User", row.user_name or str(row.user_id), _link("accounts_user", row.user_id))
        if row.user_id
        else None,
        Fact("What failed", row.error_detail) if row.error_detail else None,
        Fact("Cache", row.get_cache_status_display()) if row.cache_status else None,
        Fact("Experiment", row.experiment_arm) if row.experiment_arm else None,
    ]
    return [fact for fact in found if fact is not None]


def followed(fact: Fact, viewer: Any) -> Fact:
    """Without its link, where that page is closed to the viewer."""
    model = fact.link.removeprefix(reverse("admin:index")).split("/")[:2]
    is_open = not fact.link or viewer.has_perm(f"{model[0]}.view_{model[1]}")
    return fact if is_open else fact._replace(link="")


def _times(row: RequestLog) -> list[Fact]:
    return [
        Fact("Latency", milliseconds(row.latency_ms)),
        Fact("First token", milliseconds(row.first_token_ms)),
        Fact("Tokens in", count_text(row.input_tokens)),
        Fact("Tokens out", count_text(row.output_tokens)),
        Fact("Cost", format_usd(row.cost_nano) if row.price_id else "unpriced"),
        Fact("Charged", format_usd(row.charged_nano) if row.price_id else "–"),
    ]


def _link(page: str, pk: int | None) -> str:
    if not pk:
        return ""
    try:
        return reverse(f"admin:{page}_change", args=[pk])
    except NoReverseMatch:
        return ""


def cost_in_words(row: RequestLog, price: Price | None, tier: PricingTier | None) -> str:
    """One or two sentences for somebody who asks why it cost that."""
    if not row.price_id:
        return "It was not priced: the client has no tier, or its price book had no such model."
    version = f"price version {row.price_id}"
    if price is not None:
        version += f" ({price.model} in {price.book}, since {price.valid_from:%Y-%m-%d})"
    words = f"By {version} it cost {format_usd(row.cost_nano)}"
    if row.charged_nano == row.cost_nano:
        words += ", and the client was charged the same."
    else:
        words += f"; the client was charged {format_usd(row.charged_nano)}"
        words += f" by tier {tier.name}{_terms_in_words(row)}." if tier else "."
    if row.usage_source == RequestLog.UsageSource.ESTIMATED:
        words += " The provider told no usage, so the tokens are an estimate."
    if row.upper_bound_nano is not None:
        words += f" It was interrupted: it can have cost up to {format_usd(row.upper_bound_nano)}."
    return words


def _terms_in_words(row: RequestLog) -> str:
    """As they were at its admission, whatever the tier has become."""
    version = f", version {row.terms_id}" if row.terms_id else ""
    return version + (f" ({percent(row.markup_ppm)})" if row.markup_ppm is not None else "")


def _attempts(row: RequestLog) -> list[dict[str, Any]]:
    near = row.started_at - timedelta(days=1)  # spares PostgreSQL the partitions of before
    attempts = list(Attempt.objects.filter(request_id=row.request_id, started_at__gte=near))
    names = dict(
        Deployment.objects.filter(pk__in={each.deployment_id for each in attempts}).values_list(
            "pk", "name"
        )
    )
    return [
        {
            "number": each.number,
            "deployment": names.get(each.deployment_id, f"deployment {each.deployment_id}"),
            "after": milliseconds(
                max((each.started_at - row.started_at).total_seconds() * 1000, 0)
            ),
            "duration": milliseconds(each.duration_ms),
            "first_byte": milliseconds(each.first_byte_ms),
            "status": each.http_status or "–",
            "error": each.error_code or "–",
            "is_ok": not each.error_code,
        }
        for each in attempts
    ]


def _entries(row: RequestLog, who: Principal) -> list[dict[str, Any]]:
    seen = permissions.limit(LedgerEntry.objects.all(), who)
    entries = seen.filter(request_id=row.request_id).order_by("number", "id")
    return [
        {
            "kind": each.get_kind_display(),
            "account": each.get_account_display(),
            "amount": format_usd(each.amount_nano),
            "booked_at": each.booked_at,
            "note": " – ".join(filter(None, (each.author_name, each.reason))) or "–",
        }
        for each in entries
    ]
