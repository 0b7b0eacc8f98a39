"""What /api/v1/cost/estimate answers, for the OpenAPI description."""

from __future__ import annotations

from rest_framework import serializers

_Shape = serializers.Serializer[dict[str, object]]


class AmountRangeSerializer(_Shape):
    min_usd = serializers.DecimalField(20, 9)
    expected_usd = serializers.DecimalField(
        20, 9, allow_null=True, help_text="null: nothing is known of how long answers are."
    )
    max_usd = serializers.DecimalField(20, 9)


class EstimateLineSerializer(_Shape):
    side = serializers.ChoiceField(["cost", "charge"])
    what = serializers.CharField()
    quantity = serializers.IntegerField()
    rate_usd = serializers.DecimalField(20, 9)
    per = serializers.IntegerField(help_text="How many one rate is for.")
    factor = serializers.DecimalField(12, 6)
    amount_usd = serializers.CharField(help_text="Exact: lines of a side sum to its amount.")


class EstimatedDeploymentSerializer(_Shape):
    order = serializers.IntegerField(help_text="In which it would be tried, or the likeliest.")
    deployment = serializers.CharField()
    upstream_model = serializers.CharField()
    is_priced = serializers.BooleanField()
    price_version = serializers.IntegerField(allow_null=True)
    charge = AmountRangeSerializer(allow_null=True, help_text="null: it has no price.")
    cost = AmountRangeSerializer(
        allow_null=True, help_text="By the price; for callers with billing:read."
    )
    formula = EstimateLineSerializer(
        many=True, help_text="Of the expected size, or the least; for callers with billing:read."
    )


class OutputHistorySerializer(_Shape):
    requests = serializers.IntegerField()
    median_output_tokens = serializers.IntegerField()


class EstimatedInputSerializer(_Shape):
    expected = serializers.IntegerField()
    max = serializers.IntegerField()


class EstimatedOutputSerializer(_Shape):
    min = serializers.IntegerField()
    expected = serializers.IntegerField(allow_null=True)
    max = serializers.IntegerField()


class EstimatedTokensSerializer(_Shape):
    input = EstimatedInputSerializer()
    output = EstimatedOutputSerializer()
    history = OutputHistorySerializer(
        allow_null=True, help_text="The client's own answers on the model of the last 30 days."
    )


class ModelEstimateSerializer(_Shape):
    model = serializers.CharField()
    tokens = EstimatedTokensSerializer()
    is_priced = serializers.BooleanField(help_text="Every deployment has a price.")
    note = serializers.CharField(allow_blank=True)
    charge = AmountRangeSerializer(allow_null=True)
    deployments = EstimatedDeploymentSerializer(many=True)


class CostEstimateSerializer(_Shape):
    object = serializers.CharField(help_text="Always `chatvault.cost_estimate`.")
    client = serializers.IntegerField()
    currency = serializers.CharField()
    at = serializers.DateTimeField()
    configuration = serializers.IntegerField()
    results = ModelEstimateSerializer(many=True)
