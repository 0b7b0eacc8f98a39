"""/api/v1/keys"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import grants, key_status, rotation, services, usable_models
from apps.accounts.api.fields import StrictMixin, StrictSerializer
from apps.accounts.api.filters import Search
from apps.accounts.api.rows import REFUSALS, Rows, caller_of, person_of
from apps.accounts.errors import KeyRevoked
from apps.accounts.models import ApiKey, Client
from apps.accounts.roles import Capability
from chatvault.lib import clock
from chatvault.lib.errors import InvalidField

MOST_AT_ONCE = 200
_PRIVATE = {"Cache-Control": "private, no-store"}


class ClientField(serializers.SlugRelatedField[Client]):
    """A client by its name: one for which the caller may make keys."""

    def get_queryset(self) -> Any:
        teams = caller_of(self.context["request"]).teams_with(Capability.KEYS_WRITE)
        rows = Client.objects.select_related("team")
        return rows if teams is None else rows.filter(team__in=teams)


class ModelsField(serializers.SlugRelatedField[Any]):
    """Models by their names; a key narrows what its client may use."""

    def get_queryset(self) -> Any:
        return usable_models.aliases_of(caller_of(self.context["request"]), Capability.KEYS_WRITE)


class KeySerializer(StrictMixin, serializers.ModelSerializer[ApiKey]):
    """Never the key itself, nor what it is stored as."""

    client = ClientField(slug_field="name", help_text="Name of the client that pays.")
    aliases = ModelsField(
        slug_field="name", many=True, required=False, help_text="Empty: all of the client's."
    )
    scopes = serializers.ListField(child=serializers.CharField(max_length=64), required=False)
    networks = serializers.ListField(child=serializers.CharField(max_length=64), required=False)
    labels = serializers.DictField(child=serializers.CharField(max_length=200), required=False)
    status = serializers.SerializerMethodField()
    predecessor = serializers.PrimaryKeyRelatedField[ApiKey](read_only=True)

    class Meta:
        model = ApiKey
        read_only_fields = (
            "id",
            "hint",
            "status",
            "revoked_at",
            "rotated_at",
            "last_used_at",
            "created_at",
            "predecessor",
        )
        fields = (
            "name",
            "client",
            "aliases",
            "scopes",
            "networks",
            "labels",
            "expires_at",
            "is_active",
            *read_only_fields,
        )
        validators: ClassVar[list[Any]] = []  # the service says that a name is taken

    def get_status(self, key: ApiKey) -> str:
        return key_status.status_of(key, clock.now())

    def validate_expires_at(self, moment: Any) -> Any:
        if moment is not None and moment <= clock.now():
            raise serializers.ValidationError("This moment has passed.")
        return moment

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if self.instance is not None and "client" in attrs:
            raise serializers.ValidationError({"client": "A key stays with its client."})
        return attrs


class IssuedKeySerializer(serializers.Serializer[Any]):
    key = serializers.CharField(help_text="The key itself, in this answer and nowhere else.")
    row = KeySerializer()


class RotateSerializer(StrictSerializer):
    grace_s = serializers.IntegerField(
        min_value=0,
        max_value=90 * 86_400,
        default=int(rotation.DEFAULT_GRACE.total_seconds()),
        help_text="For how long the old key goes on working, in seconds; 0: not at all.",
    )


class BulkSerializer(StrictSerializer):
    action = serializers.ChoiceField(["enable", "disable", "revoke", "extend", "rotate"])
    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1), min_length=1, max_length=MOST_AT_ONCE
    )
    grace_s = serializers.IntegerField(min_value=0, max_value=90 * 86_400, required=False)
    until = serializers.DateTimeField(required=False)


class KeyFilters(django_filters.FilterSet):
    q = Search("name", "hint", "client__name")
    client = django_filters.CharFilter(field_name="client__name", max_length=100)
    team = django_filters.CharFilter(field_name="client__team__name", max_length=100)
    status = django_filters.ChoiceFilter(choices=key_status.CHOICES, method="of_status")
    unused_since = django_filters.IsoDateTimeFilter(method="not_used")

    class Meta:
        model = ApiKey
        fields: ClassVar = {"name": ["exact"]}

    def of_status(self, rows: QuerySet[ApiKey], _: str, value: str) -> QuerySet[ApiKey]:
        return rows.filter(key_status.of_status(value, clock.now()))

    def not_used(self, rows: Any, _: str, moment: Any) -> Any:
        return rows.unused_since(moment)


@extend_schema(tags=["Keys"])
@extend_schema_view(
    list=extend_schema(summary="List keys"),
    retrieve=extend_schema(summary="Read a key", responses={200: KeySerializer, **REFUSALS}),
)
class KeyViewSet(Rows):
    """Keys of clients. They are shown once, when they are issued or rotated, and never deleted."""

    http_method_names = ["get", "head", "options", "post", "patch"]
    read = Capability.KEYS_READ
    write = Capability.KEYS_WRITE
    rows = (
        ApiKey.objects.select_related("client__team")
        .prefetch_related("aliases")
        .defer("digest")
        .order_by("-pk")
    )
    serializer_class = KeySerializer
    filterset_class = KeyFilters

    @extend_schema(summary="Issue a key", responses={201: IssuedKeySerializer, **REFUSALS})
    def create(self, request: Request) -> Response:
        given = self._read(KeySerializer)
        client, name = given.pop("client"), given.pop("name")
        with self.revision(f"issued the key {client} / {name}"):
            made = services.issue_key(
                client=client, name=name, actor=person_of(request), who=caller_of(request), **given
            )
        return self._shown([made], 201)

    @extend_schema(summary="Change a key", responses={200: KeySerializer, **REFUSALS})
    def partial_update(self, request: Request, pk: str) -> Response:
        key = self.get_object()
        reader = KeySerializer(key, data=request.data, partial=True, context={"request": request})
        reader.is_valid(raise_exception=True)
        changes = dict(reader.validated_data)
        aliases = changes.pop("aliases", None)
        with self.revision(f"changed the key {key}"):
            services.change_key(key=key, who=caller_of(request), changes=changes, aliases=aliases)
        return Response(self.get_serializer(key).data)

    @extend_schema(summary="Enable a key", request=None, responses={200: KeySerializer})
    @action(methods=["post"], detail=True)
    def enable(self, request: Request, pk: str) -> Response:
        return self._on_one("enable")

    @extend_schema(summary="Disable a key", request=None, responses={200: KeySerializer})
    @action(methods=["post"], detail=True)
    def disable(self, request: Request, pk: str) -> Response:
        return self._on_one("disable")

    @extend_schema(summary="Revoke a key for good", request=None, responses={200: KeySerializer})
    @action(methods=["post"], detail=True)
    def revoke(self, request: Request, pk: str) -> Response:
        return self._on_one("revoke")

    @extend_schema(
        summary="Replace a key; the old one goes on working for the grace",
        request=RotateSerializer,
        responses={201: IssuedKeySerializer, **REFUSALS},
    )
    @action(methods=["post"], detail=True)
    def rotate(self, request: Request, pk: str) -> Response:
        grace_s = self._read(RotateSerializer)["grace_s"]
        key = self.get_object()
        with self.revision(f"rotated the key {key}"):
            made = self._rotate([key], grace_s)
        return self._shown(made, 201)

    @extend_schema(
        summary="Enable, disable, revoke, extend or rotate several keys: all of them or none",
        request=BulkSerializer,
        responses={200: IssuedKeySerializer(many=True), **REFUSALS},
    )
    @action(methods=["post"], detail=False)
    def bulk(self, request: Request) -> Response:
        given = self._read(BulkSerializer)
        chosen = self._chosen(set(given["ids"]))
        with self.revision(f"{given['action']}: {len(chosen)} keys"):
            if given["action"] == "rotate":
                grace_s = given.get("grace_s", int(rotation.DEFAULT_GRACE.total_seconds()))
                return self._shown(self._rotate(chosen, grace_s), 200)
            self._do(given["action"], chosen, given.get("until"))
        return Response({"keys": self.get_serializer(self._again(chosen), many=True).data})

    def _on_one(self, verb: str) -> Response:
        key = self.get_object()
        with self.revision(f"{verb}: {key}"):
            self._do(verb, [key], None)
        return Response(self.get_serializer(self._again([key])[0]).data)

    def _do(self, verb: str, chosen: list[ApiKey], until: Any) -> None:
        who, actor = caller_of(self.request), person_of(self.request)
        rows = ApiKey.objects.filter(pk__in=[key.pk for key in chosen])
        if verb != "revoke" and any(key.revoked_at is not None for key in chosen):
            raise KeyRevoked
        if verb in ("enable", "extend"):  # gives again what the keys may do
            for key in chosen:
                grants.check_key(who, key)
        if verb == "extend":
            if until is None:
                raise InvalidField("Say until when.", param="until")
            for key in chosen:
                grants.check_own_bounds(
                    who, aliases=[*key.aliases.all()], networks=key.networks, expires_at=until
                )
            services.extend_keys(keys=rows, until=until)
        elif verb == "enable":
            services.enable_keys(keys=rows, actor=actor)
        elif verb == "disable":
            services.disable_keys(keys=rows, actor=actor)
        else:
            services.revoke_keys(keys=rows, actor=actor)

    def _rotate(self, chosen: list[ApiKey], grace_s: int) -> list[services.IssuedKey]:
        return rotation.rotate_keys(
            keys=chosen,
            actor=person_of(self.request),
            grace=timedelta(seconds=grace_s),
            who=caller_of(self.request),
        )

    def _chosen(self, ids: set[int]) -> list[ApiKey]:
        """All of them, or a 404: of rows that are not the caller's nothing is said."""
        found = list(self.get_queryset().filter(pk__in=ids))
        if len(found) != len(ids):
            raise NotFound
        for key in found:
            self.require("change", key)
        return found

    def _again(self, keys: list[ApiKey]) -> list[ApiKey]:
        return list(self.get_queryset().filter(pk__in=[key.pk for key in keys]))

    def _read(self, kind: Any) -> dict[str, Any]:
        reader = kind(data=self.request.data, context={"request": self.request})
        reader.is_valid(raise_exception=True)
        return dict(reader.validated_data)

    def _shown(self, made: list[services.IssuedKey], status: int) -> Response:
        """What is secret is in this answer and nowhere else."""
        shown = [
            {"key": one.secret.reveal(), "row": self.get_serializer(one.key).data} for one in made
        ]
        body: Any = shown[0] if status == 201 else {"keys": shown}
        return Response(body, status=status, headers=_PRIVATE)
