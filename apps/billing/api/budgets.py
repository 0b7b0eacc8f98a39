"""/api/v1/budgets: the most that may be spent, its stages, and what is spent now."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import django_filters
from django.core.exceptions import ValidationError as Invalid
from django.db.models import Model
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers

from apps.accounts.api.fields import StrictMixin
from apps.accounts.api.rows import CHANGING, REFUSALS, Changing, Rows
from apps.accounts.models import ApiKey, Client, Team, User
from apps.accounts.roles import Capability
from apps.billing import services
from apps.billing.api.quotas import Visible
from apps.billing.budget_use import uses_of
from apps.billing.models import (
    BUDGET_SCOPES,
    OF_PROVIDERS,
    STAGES_OF_PROVIDERS,
    Budget,
    BudgetStage,
)
from apps.providers.models import Alias, Provider
from chatvault.lib import clock
from chatvault.lib.money import nano_from_usd, usd_from_nano

_SHAPE: Final = ("period", "length_days", "starts_on", "time_zone")
_TOLD: Final = ("amount_nano", *_SHAPE, "rolls_over", "is_active")
_STAGE: Final = ("at_percent", "action", "requests_per_minute", "alias")


class UsdField(serializers.DecimalField):
    """USD outside, whole nano-USD inside."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_digits": 19, "decimal_places": 9} | options)

    def to_internal_value(self, data: Any) -> Any:
        amount = super().to_internal_value(data)
        try:
            return nano_from_usd(amount)
        except ValueError as error:
            raise serializers.ValidationError(f"{str(error).capitalize()}.") from None

    def run_validators(self, value: Any) -> None:
        super().run_validators(usd_from_nano(value))

    def to_representation(self, value: Any) -> Any:
        return super().to_representation(usd_from_nano(value))


class BudgetStageSerializer(StrictMixin, serializers.ModelSerializer[BudgetStage]):
    at_percent = serializers.IntegerField(
        min_value=1, max_value=1000, help_text="From this percentage of the amount on."
    )
    requests_per_minute = serializers.IntegerField(
        min_value=1,
        max_value=2**31 - 1,
        required=False,
        allow_null=True,
        help_text="Of `throttle`: for all that the budget is on, together.",
    )
    alias = serializers.PrimaryKeyRelatedField(
        queryset=Alias.objects.all(),
        required=False,
        allow_null=True,
        help_text="Of `degrade`: the model that serves instead.",
    )

    class Meta:
        model = BudgetStage
        fields = _STAGE

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        _cleaned(BudgetStage(**attrs))
        return attrs


class BudgetUseSerializer(serializers.Serializer[Any]):
    amount_usd = UsdField(
        source="amount_nano", help_text="In the window of now, with raises and what rolled over."
    )
    spent_usd = UsdField(source="spent_nano")
    held_usd = UsdField(
        source="held_nano", help_text="By requests in flight; null: it cannot be known here."
    )
    left_usd = UsdField(source="left_nano")
    share = serializers.FloatField(help_text="Spent and held as a part of the amount.")


def _target(rows: Any, text: str) -> Visible:
    return Visible(queryset=rows, required=False, allow_null=True, help_text=text)


class BudgetSerializer(StrictMixin, serializers.ModelSerializer[Budget]):
    team = _target(Team.objects.all(), "All clients of the team together.")
    client = _target(Client.objects.all(), "All keys and tokens of the client together.")
    key = _target(ApiKey.objects.all(), "This key alone.")
    user = _target(User.objects.all(), "All tokens of the person together.")
    alias = serializers.PrimaryKeyRelatedField(
        queryset=Alias.objects.all(),
        required=False,
        allow_null=True,
        help_text="Everybody who asks for this model, together.",
    )
    provider = serializers.PrimaryKeyRelatedField(
        queryset=Provider.objects.all(),
        required=False,
        allow_null=True,
        help_text="What all calls to the provider cost together; it is passed over when that is "
        "used up. Stages can observe and refuse.",
    )
    tag = serializers.CharField(
        max_length=100, required=False, allow_blank=True, help_text="Such as `project=atlas`."
    )
    amount_usd = UsdField(source="amount_nano", min_value=0)
    length_days = serializers.IntegerField(
        min_value=0, max_value=400, required=False, help_text="Of `custom` and `rolling`."
    )
    stages = BudgetStageSerializer(
        many=True,
        required=False,
        help_text="All of them; what is sent takes the place of what there is. Without any, "
        "requests that could pass the amount are refused.",
    )
    use = serializers.SerializerMethodField(help_text="In the window of now.")

    class Meta:
        model = Budget
        fields = (
            "id", *BUDGET_SCOPES, "amount_usd", *_SHAPE, "rolls_over", "is_active", "stages", "use",
            "created_at",
        )  # fmt: skip
        read_only_fields = ("id", "use", "created_at")
        validators: ClassVar[list[Any]] = []  # one that there is already is told as a conflict

    @extend_schema_field(BudgetUseSerializer)
    def get_use(self, budget: Any) -> Any:
        known = getattr(budget, "use_now", None) or uses_of([budget], clock.now())[budget.pk]
        return BudgetUseSerializer(known).data

    def validate_stages(self, stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        actions = [stage["action"] for stage in stages]
        if len(set(actions)) < len(actions):
            raise serializers.ValidationError("Each action once: they differ in their percentage.")
        return stages

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        plain = {name: value for name, value in attrs.items() if name != "stages"}
        if self.instance is None:
            given = [name for name in BUDGET_SCOPES if plain.get(name)]
            if len(given) != 1:
                message = f"Give exactly one of {', '.join(BUDGET_SCOPES)}."
                raise serializers.ValidationError({given[1] if given else "client": [message]})
            row = Budget(**plain)
        else:
            row = Budget(**{name: getattr(self.instance, name) for name in _COLUMNS} | plain)
            for name in (*BUDGET_SCOPES, *_SHAPE):
                if name in plain and plain[name] != getattr(self.instance, name):
                    message = "It stays as it was made: make another budget, and delete this."
                    raise serializers.ValidationError({name: [message]})
        _cleaned(row)
        actions = {stage["action"] for stage in attrs.get("stages") or ()}
        if row.provider is not None and actions - set(OF_PROVIDERS):
            raise serializers.ValidationError({"stages": [STAGES_OF_PROVIDERS]})
        for name in set(_SHAPE) & plain.keys():
            if getattr(row, name) != plain[name]:
                raise serializers.ValidationError({name: ["A budget of this period has none."]})
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Budget:
        stages = validated_data.pop("stages", [])
        row = super().create(validated_data)
        _put_stages(row, stages)
        return row

    def update(self, instance: Budget, validated_data: dict[str, Any]) -> Budget:
        stages = validated_data.pop("stages", None)
        row = super().update(instance, validated_data)
        if stages is not None:
            row.stages.all().delete()
            _put_stages(row, stages)
        return row


_COLUMNS: Final = (*BUDGET_SCOPES, "amount_nano", *_SHAPE, "rolls_over", "is_active")


def _cleaned(row: Model) -> None:
    """Raises the framework's ValidationError for what the row's own `clean` refuses."""
    try:
        row.clean()
    except Invalid as refused:
        raise serializers.ValidationError(refused.message_dict) from None


def _put_stages(budget: Budget, stages: list[dict[str, Any]]) -> None:
    budget._prefetched_objects_cache = {}  # type: ignore[attr-defined]
    for stage in stages:
        BudgetStage.objects.create(budget=budget, **stage)


def _id_of(name: str) -> django_filters.NumberFilter:
    """A number, whether there is such a row or not."""
    return django_filters.NumberFilter(field_name=f"{name}_id", help_text=f"Id of the {name}.")


class BudgetFilters(django_filters.FilterSet):
    scope = django_filters.ChoiceFilter(
        choices=[(name, name) for name in BUDGET_SCOPES],
        method="of_scope",
        help_text="What it is on.",
    )
    team = _id_of("team")
    client = _id_of("client")
    key = _id_of("key")
    user = _id_of("user")
    alias = _id_of("alias")
    provider = _id_of("provider")

    class Meta:
        model = Budget
        fields: ClassVar = {"tag": ["exact"], "period": ["exact"], "is_active": ["exact"]}

    def of_scope(self, queryset: Any, _: str, value: str) -> Any:
        if value == "tag":
            return queryset.exclude(tag="")
        return queryset.filter(**{f"{value}__isnull": False})


@extend_schema(tags=["Budgets"])
@extend_schema_view(
    list=extend_schema(summary="List budgets with what is spent, held and left"),
    retrieve=extend_schema(summary="Read a budget", responses={200: BudgetSerializer, **REFUSALS}),
    create=extend_schema(summary="Make a budget", responses={201: BudgetSerializer, **REFUSALS}),
    partial_update=extend_schema(
        summary="Change a budget", responses={200: BudgetSerializer, **REFUSALS}
    ),
    destroy=extend_schema(summary="Delete a budget with its stages and raises"),
)
class BudgetViewSet(Changing, Rows):
    """What may be spent in a period. Scope and period stay as they were made."""

    read = Capability.BILLING_READ
    write = Capability.BILLING_WRITE
    rows = (
        Budget.objects.select_related("team", "client", "key__client", "alias", "provider")
        .prefetch_related("stages")
        .order_by("-pk")
    )
    serializer_class = BudgetSerializer
    http_method_names = CHANGING
    filterset_class = BudgetFilters

    def paginate_queryset(self, queryset: Any) -> Any:
        """What is used of a page's budgets is asked once."""
        page: Any = super().paginate_queryset(queryset)
        uses = uses_of(page or [], clock.now())
        for row in page or []:
            row.use_now = uses[row.pk]
        return page

    def unsaved(self, serializer: Any) -> Model:
        values = {k: v for k, v in serializer.validated_data.items() if k != "stages"}
        return Budget(**values)

    def perform_create(self, serializer: Any) -> None:
        self.require("add", self.unsaved(serializer))
        with self.revision("added a budget"):
            row = serializer.save()
            self.tell("budget.added", row, after=_fields(row), team_id=row.team_id_of)
            services.limits_changed()

    def perform_update(self, serializer: Any) -> None:
        before = _fields(serializer.instance)
        with self.revision("changed a budget"):
            row = serializer.save()
            self.tell(
                "budget.changed", row, before=before, after=_fields(row), team_id=row.team_id_of
            )
            services.limits_changed()

    def before_delete(self, row: Any) -> None:
        self.tell("budget.deleted", row, before=_fields(row), team_id=row.team_id_of)
        services.limits_changed()


def _fields(budget: Budget) -> dict[str, Any]:
    told = {name: getattr(budget, name) for name in _TOLD}
    if budget.starts_on is not None:
        told["starts_on"] = budget.starts_on.isoformat()
    stages = budget.stages.all()
    return {"on": budget.kind, **told, "stages": [str(stage) for stage in stages]}
