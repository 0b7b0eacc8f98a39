"""Requests as a data set of the FinOps Foundation's FOCUS 1.2: one row a request.

ChatVault is who issues the bill, a team is the sub account that gets it, and what the team is
charged is the cost. docs/usage-api.md explains each column.
"""

from __future__ import annotations

from typing import Final

from apps.usage.reports.exporting.columns import Column, Kind, Make

VERSION: Final = "1.2"
_ISSUER: Final = "ChatVault"
_MARGIN: Final = ("charged_nano", "charged_change", "cost_nano", "cost_change")


def _always(name: str, value: str | None) -> Column:
    return Column(name, Kind.TEXT, (), Make.CONSTANT, value)


def _sum(name: str, *fields: str) -> Column:
    return Column(name, Kind.WHOLE, fields, Make.SUM)


def _charged(name: str) -> Column:
    return Column(name, Kind.MONEY, ("charged_nano", "charged_change"), Make.SUM)


def _time(name: str, make: Make) -> Column:
    return Column(name, Kind.INSTANT, ("started_at",), make)


def _field(name: str, kind: Kind, field: str, otherwise: str | None = None) -> Column:
    return Column(name, kind, (field,), Make.ITSELF, otherwise)


COLUMNS: Final[tuple[Column, ...]] = (
    _charged("BilledCost"),
    _always("BillingAccountId", "chatvault"),
    _always("BillingAccountName", _ISSUER),
    _always("BillingAccountType", "Installation"),
    _always("BillingCurrency", "USD"),
    _time("BillingPeriodEnd", Make.MONTH_END),
    _time("BillingPeriodStart", Make.MONTH),
    _always("ChargeCategory", "Usage"),
    _always("ChargeClass", None),
    _field("ChargeDescription", Kind.TEXT, "operation"),
    _always("ChargeFrequency", "Usage-Based"),
    _time("ChargePeriodEnd", Make.HOUR_END),
    _time("ChargePeriodStart", Make.HOUR),
    _sum("ConsumedQuantity", "input_tokens", "output_tokens"),
    _always("ConsumedUnit", "Tokens"),
    _charged("ContractedCost"),
    _charged("EffectiveCost"),
    _always("InvoiceIssuerName", _ISSUER),
    Column("ListCost", Kind.MONEY, ("cost_nano", "cost_change"), Make.SUM),
    _always("PricingCurrency", "USD"),
    _sum("PricingQuantity", "input_tokens", "output_tokens"),
    _always("PricingUnit", "Tokens"),
    _field("ProviderName", Kind.TEXT, "provider_name", _ISSUER),
    _field("PublisherName", Kind.TEXT, "provider_name", _ISSUER),
    _field("ResourceId", Kind.WHOLE, "deployment_id"),
    _field("ResourceName", Kind.TEXT, "deployment_name"),
    _always("ResourceType", "Deployment"),
    _always("ServiceCategory", "AI and Machine Learning"),
    _field("ServiceName", Kind.TEXT, "alias"),
    _always("ServiceSubcategory", "Generative AI"),
    _field("SkuId", Kind.TEXT, "alias"),
    _always("SkuMeter", "Tokens"),
    _field("SkuPriceId", Kind.WHOLE, "price_id"),
    _field("SubAccountId", Kind.WHOLE, "team_id"),
    _field("SubAccountName", Kind.TEXT, "team_name"),
    _always("SubAccountType", "Team"),
    _field("Tags", Kind.JSON, "tags"),
    _field("x_RequestId", Kind.UUID, "request_id"),
    _field("x_StartedAt", Kind.INSTANT, "started_at"),
    _field("x_ClientId", Kind.WHOLE, "client_id"),
    _field("x_ClientName", Kind.TEXT, "client_name"),
    _field("x_KeyId", Kind.WHOLE, "key_id"),
    _field("x_KeyName", Kind.TEXT, "key_name"),
    _field("x_UserName", Kind.TEXT, "user_name"),
    _field("x_Outcome", Kind.TEXT, "outcome"),
    _field("x_InputTokens", Kind.WHOLE, "input_tokens"),
    _field("x_CachedInputTokens", Kind.WHOLE, "cached_input_tokens"),
    _field("x_OutputTokens", Kind.WHOLE, "output_tokens"),
    _field("x_ReasoningTokens", Kind.WHOLE, "reasoning_tokens"),
    Column("x_Margin", Kind.MONEY, _MARGIN, Make.DIFFERENCE),
)
