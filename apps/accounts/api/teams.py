"""/api/v1/teams"""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied

from apps.accounts import services
from apps.accounts.api.fields import StrictMixin
from apps.accounts.api.filters import Search
from apps.accounts.api.rows import CHANGING, REFUSALS, Changing, Rows, caller_of
from apps.accounts.models import ApiKey, Team
from apps.accounts.roles import Capability


class TeamSerializer(StrictMixin, serializers.ModelSerializer[Team]):
    class Meta:
        model = Team
        fields = ("id", "name", "description", "is_active", "created_at")
        read_only_fields = ("id", "created_at")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """What documents name, and whether a team works, is not its own people's to change."""
        whole = {"name", "is_active"} & attrs.keys()
        who = caller_of(self.context["request"])
        if self.instance is not None and whole and not who.may(Capability.TEAMS_WRITE):
            raise PermissionDenied(
                f"{' and '.join(sorted(whole))}: to be changed by who manages all teams."
            )
        return attrs


class TeamFilters(django_filters.FilterSet):
    q = Search("name", "description")

    class Meta:
        model = Team
        fields: ClassVar = {"name": ["exact"], "is_active": ["exact"]}


@extend_schema(tags=["Teams"])
@extend_schema_view(
    list=extend_schema(summary="List teams"),
    retrieve=extend_schema(summary="Read a team", responses={200: TeamSerializer, **REFUSALS}),
    create=extend_schema(summary="Make a team", responses={201: TeamSerializer, **REFUSALS}),
    partial_update=extend_schema(
        summary="Change a team", responses={200: TeamSerializer, **REFUSALS}
    ),
    destroy=extend_schema(summary="Delete a team without clients"),
)
class TeamViewSet(Changing, Rows):
    """Cost centres: clients belong to them, people are their members."""

    read = Capability.TEAMS_READ
    write = Capability.TEAMS_WRITE
    rows = Team.objects.order_by("-pk")
    serializer_class = TeamSerializer
    http_method_names = CHANGING
    filterset_class = TeamFilters

    def after(self, row: Any) -> None:
        services.announce_holders("team", [row.pk])
        services.announce_keys(ApiKey.objects.filter(client__team=row))
