"""/api/v1/clients"""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied

from apps.accounts import services, usable_models
from apps.accounts.api.fields import StrictMixin
from apps.accounts.api.filters import Search
from apps.accounts.api.rows import CHANGING, REFUSALS, Changing, Rows, caller_of
from apps.accounts.models import ApiKey, Client, Team
from apps.accounts.roles import Capability


class TeamField(serializers.SlugRelatedField[Team]):
    """A team by its name: one in which the caller may make clients."""

    def get_queryset(self) -> Any:
        teams = caller_of(self.context["request"]).teams_with(Capability.CLIENTS_WRITE)
        return Team.objects.all() if teams is None else Team.objects.filter(pk__in=teams)


class AliasesField(serializers.SlugRelatedField[Any]):
    """Models by their names: those that are the caller's to give."""

    def get_queryset(self) -> Any:
        who = caller_of(self.context["request"])
        return usable_models.aliases_of(who, Capability.CLIENTS_WRITE)


class TierField(serializers.SlugRelatedField[Any]):
    """A pricing tier by its name."""

    def get_queryset(self) -> Any:
        return Client.tier.field.related_model._default_manager.all()


class ClientSerializer(StrictMixin, serializers.ModelSerializer[Client]):
    team = TeamField(slug_field="name", help_text="Name of the team that it belongs to.")
    tier = TierField(
        slug_field="name",
        required=False,
        allow_null=True,
        help_text="Name of the pricing tier; needs billing:write.",
    )
    aliases = AliasesField(
        slug_field="name", many=True, required=False, help_text="Models that it may use."
    )

    class Meta:
        model = Client
        fields = (
            "id",
            "name",
            "team",
            "description",
            "tier",
            "aliases",
            "may_use_all_aliases",
            "is_active",
            "created_at",
        )
        read_only_fields = ("id", "created_at")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Nobody gives a client a price or models that are not theirs to give."""
        who = caller_of(self.context["request"])
        team = attrs.get("team") or (self.instance.team if self.instance else None)
        team_id = team.pk if team is not None else None
        if attrs.get("tier") is not None and not who.may(Capability.BILLING_WRITE, team_id):
            raise PermissionDenied("The tier of a client is set by who may change prices.")
        if attrs.get("may_use_all_aliases") and not usable_models.may_all(
            who, Capability.CLIENTS_WRITE
        ):
            raise PermissionDenied("Not every model is yours to give.")
        return attrs


class ClientFilters(django_filters.FilterSet):
    q = Search("name", "description")
    team = django_filters.CharFilter(field_name="team__name", max_length=100)

    class Meta:
        model = Client
        fields: ClassVar = {"name": ["exact"], "is_active": ["exact"]}


@extend_schema(tags=["Clients"])
@extend_schema_view(
    list=extend_schema(summary="List clients"),
    retrieve=extend_schema(summary="Read a client", responses={200: ClientSerializer, **REFUSALS}),
    create=extend_schema(summary="Make a client", responses={201: ClientSerializer, **REFUSALS}),
    partial_update=extend_schema(
        summary="Change a client", responses={200: ClientSerializer, **REFUSALS}
    ),
    destroy=extend_schema(summary="Delete a client and its keys"),
)
class ClientViewSet(Changing, Rows):
    """Applications that call models; they hold keys and have a pricing tier."""

    read = Capability.CLIENTS_READ
    write = Capability.CLIENTS_WRITE
    rows = Client.objects.select_related("team", "tier").prefetch_related("aliases").order_by("-pk")
    serializer_class = ClientSerializer
    http_method_names = CHANGING
    filterset_class = ClientFilters

    def after(self, row: Any) -> None:
        services.announce_holders("client", [row.pk])
        services.announce_keys(ApiKey.objects.filter(client=row))

    before_delete = after
