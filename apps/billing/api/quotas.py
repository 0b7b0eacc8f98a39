"""/api/v1/quotas and /api/v1/quota-overrides"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import django_filters
from django.db import IntegrityError, transaction
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from apps.accounts import permissions
from apps.accounts.api.fields import StrictMixin
from apps.accounts.api.rows import CHANGING, REFUSALS, Changing, Rows, caller_of, person_of
from apps.accounts.models import ApiKey, Client, Team, User
from apps.accounts.roles import Capability
from apps.billing import services
from apps.billing.models import SCOPES, Quota, QuotaOverride
from apps.providers.models import Alias, Provider
from chatvault.lib import clock
from chatvault.lib.errors import Conflict

_TOLD = ("unit", "window_s", "ceiling", "observes", "is_active")


class Visible(serializers.PrimaryKeyRelatedField[Any]):
    """The id of a row that the caller may see; another one is like one that there is not."""

    def get_queryset(self) -> Any:
        queryset = super().get_queryset()
        assert queryset is not None
        return permissions.limit(queryset, caller_of(self.context["request"]))


def _target(rows: Any, text: str) -> Visible:
    return Visible(queryset=rows, required=False, allow_null=True, help_text=text)


class QuotaSerializer(StrictMixin, serializers.ModelSerializer[Quota]):
    team = _target(Team.objects.all(), "All clients of the team together.")
    client = _target(Client.objects.all(), "All keys and tokens of the client together.")
    key = _target(ApiKey.objects.all(), "This key alone.")
    user = _target(User.objects.all(), "All tokens of the person together.")
    alias = _target(Alias.objects.all(), "Everybody who asks for this model, together.")
    provider = _target(Provider.objects.all(), "All calls to the provider together.")
    window_s = serializers.IntegerField(
        min_value=1, max_value=31 * 86_400, default=60, help_text="Seconds; of concurrency: 1."
    )
    ceiling = serializers.IntegerField(min_value=1, max_value=2**63 - 1)

    class Meta:
        model = Quota
        fields = ("id", *SCOPES, "unit", "window_s", "ceiling", "observes", "is_active")
        read_only_fields = ("id",)
        validators: ClassVar[list[Any]] = []  # one that there is already is told as a conflict

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = [name for name in SCOPES if attrs.get(name) is not None]
        if self.instance is None and len(given) != 1:
            message = f"Give exactly one of {', '.join(SCOPES)}."
            raise serializers.ValidationError({given[1] if given else "client": [message]})
        if self.instance is not None:
            for name in SCOPES:
                if name in attrs and attrs[name] != getattr(self.instance, name):
                    message = "What a quota is on stays: make another one, and delete this."
                    raise serializers.ValidationError({name: [message]})
        unit = attrs.get("unit") or (self.instance.unit if self.instance else "")
        if unit == Quota.Unit.CONCURRENCY:
            attrs["window_s"] = 1
        return attrs


def _id_of(name: str) -> django_filters.NumberFilter:
    """A number, whether there is such a row or not."""
    return django_filters.NumberFilter(field_name=f"{name}_id", help_text=f"Id of the {name}.")


class QuotaFilters(django_filters.FilterSet):
    scope = django_filters.ChoiceFilter(
        choices=[(name, name) for name in SCOPES], method="of_scope", help_text="What it is on."
    )

    team = _id_of("team")
    client = _id_of("client")
    key = _id_of("key")
    user = _id_of("user")
    alias = _id_of("alias")
    provider = _id_of("provider")

    class Meta:
        model = Quota
        fields: ClassVar = {"unit": ["exact"], "observes": ["exact"], "is_active": ["exact"]}

    def of_scope(self, queryset: Any, _: str, value: str) -> Any:
        return queryset.filter(**{f"{value}__isnull": False})


@extend_schema(tags=["Rate limits"])
@extend_schema_view(
    list=extend_schema(summary="List quotas"),
    retrieve=extend_schema(summary="Read a quota", responses={200: QuotaSerializer, **REFUSALS}),
    create=extend_schema(summary="Make a quota", responses={201: QuotaSerializer, **REFUSALS}),
    partial_update=extend_schema(
        summary="Change a quota", responses={200: QuotaSerializer, **REFUSALS}
    ),
    destroy=extend_schema(summary="Delete a quota and its temporary ceilings"),
)
class QuotaViewSet(Changing, Rows):
    """Ceilings on requests, tokens and concurrency."""

    read = Capability.LIMITS_READ
    write = Capability.LIMITS_WRITE
    rows = Quota.objects.select_related("team", "client", "key__client").order_by("-pk")
    serializer_class = QuotaSerializer
    http_method_names = CHANGING
    filterset_class = QuotaFilters

    def perform_create(self, serializer: Any) -> None:
        self.require("add", self.unsaved(serializer))
        with self.revision("added a quota"):
            row = serializer.save()
            self.tell("quota.added", row, after=_fields(row), team_id=row.team_id_of)
            services.limits_changed()

    def perform_update(self, serializer: Any) -> None:
        before = _fields(serializer.instance)
        with self.revision("changed a quota"):
            row = serializer.save()
            self.tell(
                "quota.changed", row, before=before, after=_fields(row), team_id=row.team_id_of
            )
            services.limits_changed()

    def before_delete(self, row: Any) -> None:
        self.tell("quota.deleted", row, before=_fields(row), team_id=row.team_id_of)
        services.limits_changed()


class OverrideSerializer(StrictMixin, serializers.ModelSerializer[QuotaOverride]):
    quota = Visible(queryset=Quota.objects.all())
    ceiling = serializers.IntegerField(min_value=1, max_value=2**63 - 1)

    class Meta:
        model = QuotaOverride
        fields = (
            "id", "quota", "ceiling", "starts_at", "ends_at", "reason", "author_name", "created_at",
        )  # fmt: skip
        read_only_fields = ("id", "author_name", "created_at")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        known = self.instance
        starts = attrs.get("starts_at") or (known.starts_at if known else None)
        ends = attrs.get("ends_at") or (known.ends_at if known else None)
        if starts and ends and ends <= starts:
            raise serializers.ValidationError({"ends_at": ["It must end after it starts."]})
        if attrs.get("ends_at") and attrs["ends_at"] <= clock.now():
            raise serializers.ValidationError({"ends_at": ["This is past already."]})
        if known is not None and attrs.get("quota", known.quota) != known.quota:
            raise serializers.ValidationError({"quota": ["It stays: make another one."]})
        return attrs


class OverrideFilters(django_filters.FilterSet):
    quota = _id_of("quota")

    class Meta:
        model = QuotaOverride
        fields: ClassVar[dict[str, list[str]]] = {}


@extend_schema(tags=["Rate limits"])
@extend_schema_view(
    list=extend_schema(summary="List temporary ceilings"),
    retrieve=extend_schema(
        summary="Read a temporary ceiling", responses={200: OverrideSerializer, **REFUSALS}
    ),
    create=extend_schema(
        summary="Give a quota another ceiling for a while",
        responses={201: OverrideSerializer, **REFUSALS},
    ),
    partial_update=extend_schema(
        summary="Change a temporary ceiling", responses={200: OverrideSerializer, **REFUSALS}
    ),
    destroy=extend_schema(summary="End a temporary ceiling now and forget it"),
)
class OverrideViewSet(Changing, Rows):
    """Other ceilings of quotas from … until; they end by themselves."""

    read = Capability.LIMITS_READ
    write = Capability.LIMITS_WRITE
    rows = QuotaOverride.objects.select_related(
        "quota__team", "quota__client", "quota__key__client"
    ).order_by("-pk")
    serializer_class = OverrideSerializer
    http_method_names = CHANGING
    filterset_class = OverrideFilters

    def perform_create(self, serializer: Any) -> None:
        self.require("add", self.unsaved(serializer))
        who = caller_of(self.request)
        with _changing():
            row = serializer.save(author=person_of(self.request), author_name=who.name[:200])
            self._told("quota_override.added", row, after=_times(row))

    def perform_update(self, serializer: Any) -> None:
        before = _times(serializer.instance)
        with _changing():
            row = serializer.save()
            self._told("quota_override.changed", row, before=before, after=_times(row))

    def perform_destroy(self, instance: Any) -> None:
        with _changing():
            self._told("quota_override.deleted", instance, before=_times(instance))
            instance.delete()

    def _told(self, action: str, row: QuotaOverride, **changes: Any) -> None:
        self.tell(action, row, team_id=row.quota.team_id_of, **changes)
        services.limits_changed()


@contextmanager
def _changing() -> Iterator[None]:
    """All of it or nothing; what the database refuses is a conflict."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        raise Conflict from None


def _fields(quota: Quota) -> dict[str, Any]:
    return {"on": quota.kind} | {name: getattr(quota, name) for name in _TOLD}


def _times(row: QuotaOverride) -> dict[str, Any]:
    return {
        "ceiling": row.ceiling,
        "starts_at": row.starts_at.isoformat(),
        "ends_at": row.ends_at.isoformat(),
        "reason": row.reason,
    }
