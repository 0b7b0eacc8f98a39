"""/api/v1/closed-periods"""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.fields import StrictSerializer
from apps.accounts.api.rows import REFUSALS, Rows, caller_of
from apps.accounts.roles import Capability
from apps.invoicing import closing, months
from apps.invoicing.models import MonthClose


class CloseCheckSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="What `waive` calls it by.")
    title = serializers.CharField()
    is_ok = serializers.BooleanField()
    told = serializers.CharField(help_text="What was found.")
    may_be_waived = serializers.BooleanField()


class WaiverSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField()
    by = serializers.CharField()


class MonthCloseSerializer(serializers.ModelSerializer[MonthClose]):
    month = serializers.SerializerMethodField(help_text="Such as 2026-10.")
    checks = CloseCheckSerializer(many=True, read_only=True)
    waivers = serializers.DictField(
        child=WaiverSerializer(), read_only=True, help_text="By the name of the check."
    )
    in_the_way = serializers.SerializerMethodField(
        help_text="Titles of checks that are neither right nor waived."
    )

    class Meta:
        model = MonthClose
        fields = (
            "id", "month", "starts_at", "ends_at", "state", "checks", "waivers", "in_the_way",
            "checked_at", "closed_at", "closed_by", "reopened_at", "reopened_by", "reason",
            "author_name", "created_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_month(self, row: MonthClose) -> str:
        return str(row)

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_in_the_way(self, row: MonthClose) -> list[str]:
        return closing.left_of(row)


class MonthCloseBeginSerializer(StrictSerializer):
    month = serializers.CharField(max_length=7, help_text="Such as 2026-10; it has to be over.")

    def validate_month(self, value: str) -> months.Month:
        try:
            return months.read(value)
        except ValueError as wrong:
            raise serializers.ValidationError(str(wrong)) from None


class WaiveSerializer(StrictSerializer):
    check_name = serializers.CharField(max_length=120, help_text="`name` of one of the `checks`.")
    reason = serializers.CharField(max_length=300, help_text="Kept with the close.")


class ReopenSerializer(StrictSerializer):
    reason = serializers.CharField(max_length=255, help_text="Kept with the close.")


class MonthCloseFilters(django_filters.FilterSet):
    since = django_filters.DateFilter(
        field_name="month", lookup_expr="gte", help_text="Months that begin on this day or later."
    )
    until = django_filters.DateFilter(
        field_name="month", lookup_expr="lte", help_text="Months that begin on this day or before."
    )

    class Meta:
        model = MonthClose
        fields: ClassVar = {"state": ["exact"]}


def _deed(summary: str, request: Any = None) -> Any:
    return extend_schema(
        summary=summary, request=request, responses={200: MonthCloseSerializer, **REFUSALS}
    )


@extend_schema(tags=["Invoicing"])
@extend_schema_view(
    list=extend_schema(summary="List months that are closed, or on the way"),
    retrieve=extend_schema(
        summary="Read a monthly close with what its checks found",
        responses={200: MonthCloseSerializer, **REFUSALS},
    ),
)
class ClosedPeriodViewSet(mixins.CreateModelMixin, Rows):
    """The monthly close, of all teams at once: begin, wait for the checks, waive what may be
    waived, close. A conflict (409) says what does not go with the state that it is in."""

    read = Capability.BILLING_READ
    write = Capability.BILLING_WRITE
    rows = MonthClose.objects.order_by("-pk")
    serializer_class = MonthCloseSerializer
    http_method_names = ["get", "head", "options", "post"]
    filterset_class = MonthCloseFilters

    @extend_schema(
        summary="Begin to close a month: a job checks it, nothing is locked before `close`",
        request=MonthCloseBeginSerializer,
        responses={201: MonthCloseSerializer, **REFUSALS},
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        self.require("add", MonthClose())
        given = self._read(MonthCloseBeginSerializer)
        row = closing.begin(month=given["month"], author=caller_of(request).name)
        return Response(self.get_serializer(row).data, status=201)

    @_deed("Check a month again")
    @action(methods=["post"], detail=True, url_path="check")
    def check_again(self, request: Request, pk: str) -> Response:
        closing.check_again(row=self.get_object())
        return self._again()

    @_deed("Let one check not stand in the way", WaiveSerializer)
    @action(methods=["post"], detail=True)
    def waive(self, request: Request, pk: str) -> Response:
        row, given = self.get_object(), self._read(WaiveSerializer)
        author = caller_of(request).name
        closing.waive(row=row, name=given["check_name"], reason=given["reason"], author=author)
        return self._again()

    @_deed("Close a month that was checked within the hour")
    @action(methods=["post"], detail=True)
    def close(self, request: Request, pk: str) -> Response:
        closing.close(row=self.get_object(), author=caller_of(request).name)
        return self._again()

    @_deed("Reopen a closed month; owners alone", ReopenSerializer)
    @action(methods=["post"], detail=True)
    def reopen(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        if not caller_of(request).is_owner:
            raise PermissionDenied("Only an owner reopens a month.")
        given = self._read(ReopenSerializer)
        closing.reopen(row=row, reason=given["reason"], author=caller_of(request).name)
        return self._again()

    @_deed("Give a close up; the month stays open")
    @action(methods=["post"], detail=True, url_path="give-up")
    def give_up(self, request: Request, pk: str) -> Response:
        closing.give_up(row=self.get_object())
        return self._again()

    def _again(self) -> Response:
        return Response(self.get_serializer(self.get_object()).data)

    def _read(self, kind: type[StrictSerializer]) -> dict[str, Any]:
        given = kind(data=self.request.data)
        given.is_valid(raise_exception=True)
        return dict(given.validated_data)
