"""The document `chatvault.dry_run`, for the OpenAPI description."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer
from rest_framework import serializers

DRY_RUN: Final = OpenApiParameter(
    "x-chatvault-dry-run",
    bool,
    OpenApiParameter.HEADER,
    description="`true`: answer with `chatvault.dry_run`, what the request would cost and whether "
    "it would be allowed. Nothing is reserved, sent to a provider, recorded or charged.",
)
TAGS: Final = OpenApiParameter(
    "x-chatvault-tags",
    str,
    OpenApiParameter.HEADER,
    description="Labels for reports and budgets, such as `project=atlas,env=prod`: at most 8, a "
    "key of at most 32 characters of a-z, 0-9, `_`, `.` and `-`, a value of at most 64 printable "
    "ones. Members of the body's `metadata` that fit are tags as well.",
)
_Shape = serializers.Serializer[dict[str, object]]


class ChargeRangeSerializer(_Shape):
    min_usd = serializers.DecimalField(20, 9, help_text="At the expected prompt and one token.")
    max_usd = serializers.DecimalField(20, 9, help_text="The most that it can be.")


class InputSizeSerializer(_Shape):
    expected = serializers.IntegerField(help_text="Estimated from the body.")
    max = serializers.IntegerField(help_text="No prompt of this body is longer.")


class OutputSizeSerializer(_Shape):
    min = serializers.IntegerField()
    max = serializers.IntegerField(help_text="By `max_tokens`, or as much as the models can.")


class DryRunTokensSerializer(_Shape):
    input = InputSizeSerializer()
    output = OutputSizeSerializer()


class DryRunRefusalSerializer(_Shape):
    status = serializers.IntegerField()
    message = serializers.CharField()
    type = serializers.CharField()
    param = serializers.CharField(allow_null=True)
    code = serializers.CharField()
    scope = serializers.CharField(
        allow_null=True, help_text="What the limit is on: key, client, team, alias, provider …"
    )
    retry_after_s = serializers.IntegerField(allow_null=True)


class LimitLeftSerializer(_Shape):
    scope = serializers.CharField()
    limit = serializers.IntegerField()
    remaining = serializers.IntegerField(help_text="Before this request.")
    reset_s = serializers.FloatField()


class LimitsLeftSerializer(_Shape):
    requests = LimitLeftSerializer(allow_null=True)
    tokens = LimitLeftSerializer(allow_null=True)


class DryRunDeploymentSerializer(_Shape):
    order = serializers.IntegerField()
    deployment = serializers.CharField()
    share = serializers.FloatField(
        allow_null=True, help_text="How often it is tried first; null: the order is fixed."
    )
    is_resting = serializers.BooleanField(help_text="It failed lately and would be left out.")
    has_room = serializers.BooleanField(help_text="By the quotas and budgets of its provider.")
    price_version = serializers.IntegerField(allow_null=True, help_text="null: it has no price.")
    charge = ChargeRangeSerializer(allow_null=True)


class DryRunSerializer(_Shape):
    object = serializers.CharField(help_text="Always `chatvault.dry_run`.")
    id = serializers.UUIDField()
    model = serializers.CharField()
    allowed = serializers.BooleanField()
    refusal = DryRunRefusalSerializer(
        allow_null=True, help_text="The error that the real call would get."
    )
    tokens = DryRunTokensSerializer()
    charge = ChargeRangeSerializer(
        allow_null=True, help_text="Over all deployments with a price; null: none has one."
    )
    is_priced = serializers.BooleanField(help_text="Every deployment has a price.")
    reserves_usd = serializers.DecimalField(
        20, 9, allow_null=True, help_text="What admission would hold; null: there is no budget."
    )
    limits = LimitsLeftSerializer()
    budget_warning = serializers.CharField(
        allow_null=True, help_text="Budgets that reached a stage, as the answer's header tells."
    )
    cheaper_model = serializers.CharField(
        allow_null=True, help_text="A stage of a budget hands the request over to this one."
    )
    strategy = serializers.CharField()
    max_attempts = serializers.IntegerField()
    deployments = DryRunDeploymentSerializer(many=True)
    configuration = serializers.IntegerField(help_text="The revision that was followed.")


def or_dry_run(answer: type[Any]) -> PolymorphicProxySerializer:
    """The endpoint's own answer, or the document."""
    return PolymorphicProxySerializer(
        component_name=f"{answer.__name__.removesuffix('Serializer')}OrDryRun",
        serializers=[answer, DryRunSerializer],
        resource_type_field_name=None,
    )
