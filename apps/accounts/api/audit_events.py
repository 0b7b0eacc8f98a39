"""The audit trail by the API, for those who may read it: lists, single events, files, checks."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.accounts.api.fields import StrictSerializer
from apps.accounts.principals import Principal
from apps.accounts.roles import Capability
from apps.audit import export, search
from apps.audit.models import AuditCheckpoint, AuditEvent

_PAGING = frozenset({"cursor", "page_size"})


class EventSerializer(serializers.ModelSerializer[AuditEvent]):
    user_id = serializers.IntegerField(allow_null=True)

    class Meta:
        model = AuditEvent
        fields = export.COLUMNS


class CheckpointSerializer(serializers.ModelSerializer[AuditCheckpoint]):
    class Meta:
        model = AuditCheckpoint
        fields = (
            "id", "at", "scope", "first_id", "last_id", "checked", "findings", "examples", "hash",
        )  # fmt: skip


class FilterSerializer(StrictSerializer):
    """What narrows the list; nothing: all events."""

    about = serializers.CharField(
        max_length=32, required=False, help_text="What stands before the dot: `key`, `role` …"
    )
    action = serializers.CharField(max_length=64, required=False, help_text="Such as key.revoked")
    kind = serializers.ChoiceField(
        choices=[name for name, _ in search.KINDS], required=False, help_text="Of the actor."
    )
    user_id = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    team_id = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    target_type = serializers.CharField(
        max_length=64, required=False, help_text="Such as accounts.apikey"
    )
    target_id = serializers.CharField(
        max_length=64, required=False, help_text="Needs `target_type`."
    )
    request_id = serializers.CharField(max_length=64, required=False)
    search = serializers.CharField(
        max_length=200,
        required=False,
        help_text="How an actor's or a target's name begins, or a request id.",
    )
    since = serializers.DateTimeField(required=False, help_text="Events at or after this instant.")
    until = serializers.DateTimeField(required=False, help_text="Events before this instant.")
    after_id = serializers.IntegerField(
        min_value=0, max_value=2**63 - 1, required=False, help_text="Events with a higher id."
    )

    _LOOKUPS: ClassVar[dict[str, str]] = {
        "about": "topic", "action": "action", "kind": "actor_kind", "user_id": "user_id",
        "team_id": "team_id", "target_type": "target_type", "target_id": "target_id",
        "request_id": "request_id", "since": "at__gte", "until": "at__lt", "after_id": "id__gt",
    }  # fmt: skip

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "target_id" in attrs and "target_type" not in attrs:
            raise serializers.ValidationError({"target_id": "Give `target_type` with it."})
        return attrs

    def applied_to(self, events: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        given = dict(self.validated_data)
        events = search.matching(events, given.pop("search", ""))
        return events.filter(**{self._LOOKUPS[name]: value for name, value in given.items()})


class ExportFilterSerializer(FilterSerializer):
    form = serializers.ChoiceField(choices=sorted(export.FORMS), default="jsonl")


class _Reading(APIView):
    capabilities: ClassVar[dict[str, Capability]] = {"GET": Capability.AUDIT_READ}

    def events(self) -> QuerySet[AuditEvent]:
        """Those of the teams in which the caller may read them; all: in the whole installation."""
        who = self.request.user
        assert isinstance(who, Principal)  # the permission has seen to it
        teams = who.teams_with(Capability.AUDIT_READ)
        events = AuditEvent.objects.order_by("-pk")
        return events if teams is None else events.filter(team_id__in=teams)


@extend_schema_view(
    get=extend_schema(
        operation_id="listAuditEvents",
        summary="Audit events, the newest first",
        tags=["Audit trail"],
        parameters=[FilterSerializer],
    )
)
class EventsView(_Reading, generics.ListAPIView[AuditEvent]):
    serializer_class = EventSerializer
    queryset = AuditEvent.objects.none()

    def get_queryset(self) -> QuerySet[AuditEvent]:
        given = self.request.query_params
        query = FilterSerializer(data={n: v for n, v in given.items() if n not in _PAGING})
        query.is_valid(raise_exception=True)
        return query.applied_to(self.events())


@extend_schema_view(
    get=extend_schema(
        operation_id="getAuditEvent", summary="One event of the audit trail", tags=["Audit trail"]
    )
)
class EventView(_Reading, generics.RetrieveAPIView[AuditEvent]):
    serializer_class = EventSerializer
    queryset = AuditEvent.objects.none()

    def get_queryset(self) -> QuerySet[AuditEvent]:
        return self.events()


class ExportView(_Reading):
    @extend_schema(
        operation_id="exportAuditEvents",
        summary="Audit events as a file, the oldest first",
        tags=["Audit trail"],
        parameters=[ExportFilterSerializer],
        responses={
            (200, "application/x-ndjson"): OpenApiResponse(OpenApiTypes.STR),
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR),
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        query = ExportFilterSerializer(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        form = query.validated_data.pop("form")
        return export.response(
            request._request, query.applied_to(self.events()), form, request.query_params.dict()
        )


@extend_schema_view(
    get=extend_schema(
        operation_id="listAuditCheckpoints",
        summary="What verifications of the audit trail found, the newest first",
        tags=["Audit trail"],
    )
)
class CheckpointsView(_Reading, generics.ListAPIView[AuditCheckpoint]):
    serializer_class = CheckpointSerializer
    queryset = AuditCheckpoint.objects.order_by("-pk")
