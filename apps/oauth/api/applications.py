"""/api/v1/oauth/applications"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import django_filters
from django.core.exceptions import ValidationError as Refused
from django.db import transaction
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.fields import StrictMixin, StrictSerializer
from apps.accounts.api.filters import Search
from apps.accounts.api.rows import CHANGING, REFUSALS, Rows, caller_of, person_of
from apps.accounts.models import Client
from apps.accounts.roles import Capability
from apps.oauth import scopes, services
from apps.oauth.models import Application
from chatvault.lib.errors import Conflict

FLOWS: Final = (
    Application.GRANT_AUTHORIZATION_CODE,
    Application.GRANT_DEVICE_CODE,
    Application.GRANT_CLIENT_CREDENTIALS,
)
KINDS: Final = (Application.CLIENT_CONFIDENTIAL, Application.CLIENT_PUBLIC)
FIXED: Final = ("client", "flow", "client_type")
_CALLED: Final = {"payer": "client", "authorization_grant_type": "flow"}
_NO_STORE: Final = {"Cache-Control": "no-store, private"}
_MOST_URIS: Final = 20


class PayerField(serializers.SlugRelatedField[Client]):
    """A client by its name: one of a team in which the caller may make applications."""

    def get_queryset(self) -> Any:
        teams = caller_of(self.context["request"]).teams_with(Capability.OAUTH_WRITE)
        clients = Client.objects.select_related("team")
        return clients if teams is None else clients.filter(team__in=teams)


class UrisField(serializers.ListField):
    """Kept as one text, shown as a list."""

    child = serializers.RegexField(r"^[!-~]+$", max_length=2000)

    def to_representation(self, data: Any) -> list[str]:
        return str(data).split()

    def run_validation(self, data: Any = serializers.empty) -> Any:
        return " ".join(super().run_validation(data))


class ApplicationSerializer(StrictMixin, serializers.ModelSerializer[Application]):
    name = serializers.CharField(
        max_length=100, help_text="People read it when they are asked whether they allow it."
    )
    client = PayerField(
        source="payer",
        slug_field="name",
        help_text="Name of the client that pays. Its team owns the application. Fixed once made.",
    )
    team = serializers.CharField(source="payer.team.name", read_only=True)
    flow = serializers.ChoiceField(
        choices=FLOWS,
        source="authorization_grant_type",
        help_text="How it gets its tokens. Fixed once made.",
    )
    client_type = serializers.ChoiceField(
        choices=KINDS, help_text="Whether it can keep a secret. Fixed once made."
    )
    redirect_uris = UrisField(
        required=False,
        max_length=_MOST_URIS,
        help_text="Where people may be sent back to; the whole address must match.",
    )
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=scopes.ORDER),
        allow_empty=False,
        help_text="The most that its tokens may ever do.",
    )
    registered_itself = serializers.BooleanField(source="has_registered_itself", read_only=True)
    created_at = serializers.DateTimeField(source="created", read_only=True)

    class Meta:
        model = Application
        fields = (
            "id",
            "client_id",
            "name",
            "client",
            "team",
            "description",
            "homepage",
            "flow",
            "client_type",
            "redirect_uris",
            "scopes",
            "is_active",
            "registered_itself",
            "created_at",
        )
        read_only_fields = ("id", "client_id")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Nobody lets an application do more than they may do themselves; what it may do already
        is left to it."""
        row = self.instance
        if row is not None and (fixed := [name for name in FIXED if name in self.initial_data]):
            raise ValidationError({name: ["It is fixed once made."] for name in fixed})
        if "scopes" in attrs:
            chosen = set(attrs["scopes"])
            attrs["scopes"] = [one for one in scopes.ORDER if one in chosen]
            added = sorted(chosen - set(row.scopes if row else ()))
            who = caller_of(self.context["request"])
            with told_by_name():
                services.check_scopes(who, added, row.payer if row else attrs["payer"])
        return attrs


class IssuedSerializer(ApplicationSerializer):
    """With the secret, in this answer alone."""

    client_secret = serializers.CharField(
        read_only=True, allow_null=True, help_text="Shown once. Public applications have none."
    )

    class Meta(ApplicationSerializer.Meta):
        fields = (*ApplicationSerializer.Meta.fields, "client_secret")  # type: ignore[assignment]


class told_by_name:
    """What a model refuses, under the names that the API has."""

    def __enter__(self) -> None:
        return

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> None:
        if isinstance(error, Refused):
            told = {_CALLED.get(k, k): v for k, v in error.message_dict.items()}
            raise ValidationError(told) from None


class ApplicationFilters(django_filters.FilterSet):
    q = Search("name", "description")
    team = django_filters.CharFilter(field_name="payer__team__name", max_length=100)
    client = django_filters.CharFilter(field_name="payer__name", max_length=100)
    flow = django_filters.ChoiceFilter(
        field_name="authorization_grant_type", choices=[(each, each) for each in FLOWS]
    )

    class Meta:
        model = Application
        fields: ClassVar = {
            "name": ["exact"],
            "client_id": ["exact"],
            "client_type": ["exact"],
            "is_active": ["exact"],
        }


@extend_schema(tags=["OAuth applications"])
@extend_schema_view(
    list=extend_schema(summary="List applications"),
    retrieve=extend_schema(
        summary="Read an application", responses={200: ApplicationSerializer, **REFUSALS}
    ),
    destroy=extend_schema(summary="Delete an application and all that it holds"),
)
class ApplicationViewSet(mixins.DestroyModelMixin, Rows):
    """Applications that get tokens here by OAuth 2.1; the configuration document has none."""

    read = Capability.OAUTH_READ
    write = Capability.OAUTH_WRITE
    rows = (
        Application.objects.select_related("payer__team")
        .defer("client_secret", "registration_digest")
        .order_by("-pk")
    )
    serializer_class = ApplicationSerializer
    http_method_names = CHANGING
    filterset_class = ApplicationFilters

    @extend_schema(
        summary="Register an application; its secret is in this answer alone",
        responses={201: IssuedSerializer, **REFUSALS},
    )
    def create(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        application = Application(**serializer.validated_data)
        self.require("add", application)
        with told_by_name():
            issued = services.make_application(application=application, user=person_of(request))
        return self._shown_once(issued, status=201)

    @extend_schema(
        summary="Change, disable or enable an application",
        responses={200: ApplicationSerializer, **REFUSALS},
    )
    @transaction.atomic
    def partial_update(self, request: Request, pk: str) -> Response:
        application = self.get_object()
        before = services.state_of(application)
        serializer = self.get_serializer(application, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        for name, value in serializer.validated_data.items():
            setattr(application, name, value)
        with told_by_name():
            services.change_application(application=application, before=before)
        if services.state_of(application) == before:  # every write of the API is in the trail
            self.tell("oauth.application_changed", application, team_id=application.team_id)
        return Response(self.get_serializer(application).data)

    def perform_destroy(self, instance: Application) -> None:
        services.end_application(application=instance)

    @extend_schema(
        summary="Make a new secret: the old one ends at once",
        request=StrictSerializer,
        responses={200: IssuedSerializer, **REFUSALS},
    )
    @action(detail=True, methods=["post"], url_path="new-secret")
    def new_secret(self, request: Request, pk: str) -> Response:
        StrictSerializer(data=request.data).is_valid(raise_exception=True)
        application = self.get_object()
        if application.client_type != Application.CLIENT_CONFIDENTIAL:
            raise Conflict("A public application has no secret.")
        return self._shown_once(services.rotate_secret(application=application))

    def _shown_once(self, issued: services.Issued, status: int = 200) -> Response:
        told = self.get_serializer(issued.application).data
        told["client_secret"] = issued.secret.reveal() if issued.secret else None
        return Response(told, status=status, headers=_NO_STORE)
