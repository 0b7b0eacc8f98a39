"""/api/v1/alert-channels"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import django_filters
from django.db import IntegrityError
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import permissions
from apps.accounts.api.fields import StrictMixin
from apps.accounts.api.filters import Search
from apps.accounts.api.rows import CHANGING, REFUSALS, Rows, caller_of
from apps.accounts.models import Team
from apps.accounts.roles import Capability
from apps.alerts import channels, topics
from apps.alerts.api.alerts import DeliverySerializer, NothingSerializer
from apps.alerts.errors import ChannelRefused
from apps.alerts.models import Channel
from chatvault.lib.errors import Conflict

SECRET: Final = ("secret_url", "signing_secret")


class TeamField(serializers.PrimaryKeyRelatedField[Team]):
    """The id of a team that the caller may see."""

    def get_queryset(self) -> Any:
        return permissions.limit(Team.objects.all(), caller_of(self.context["request"]))


class ChannelSerializer(StrictMixin, serializers.ModelSerializer[Channel]):
    team = TeamField(
        required=False,
        allow_null=True,
        default=None,
        help_text="Whose alerts it takes; null: those of all teams and of the installation.",
    )
    mailboxes = serializers.ListField(
        child=serializers.EmailField(max_length=254),
        max_length=channels.MOST_MAILBOXES,
        required=False,
        help_text="Of a channel by e-mail.",
    )
    secret_url = serializers.CharField(
        write_only=True,
        required=False,
        max_length=2000,
        help_text="Where a webhook or chat is reached. Never shown again.",
    )
    signing_secret = serializers.CharField(
        write_only=True,
        required=False,
        max_length=2000,
        help_text="What requests of a webhook are signed with. Never shown again.",
    )
    target = serializers.CharField(
        source="shown_target", read_only=True, help_text="Mailboxes, host or name of the service."
    )
    topics = serializers.ListField(
        child=serializers.CharField(max_length=64),
        max_length=50,
        required=False,
        help_text="What it takes; empty: everything.",
    )

    class Meta:
        model = Channel
        fields = (
            "id", "name", "kind", "team", "mailboxes", "secret_url", "signing_secret", "target",
            "topics", "is_active", "created_at",
        )  # fmt: skip
        read_only_fields = ("id", "created_at")
        validators: ClassVar[list[Any]] = []  # one that there is already is told as a conflict

    def validate_topics(self, value: list[str]) -> list[str]:
        known = [topic.name for topic in topics.registered()]
        if unknown := sorted(set(value) - set(known)):
            raise ValidationError(f"There is no topic {unknown[0]}. There are: {', '.join(known)}.")
        return value

    def applied(self) -> Channel:
        """The row with what was sent, checked and sealed, not saved. Raises ValidationError."""
        given = dict(self.validated_data)
        entered = {name: given.pop(name, "") for name in SECRET}
        mailboxes = given.pop("mailboxes", None)
        channel = self.instance or Channel()
        assert isinstance(channel, Channel)
        if self.instance is not None and "team" not in self.initial_data:
            given.pop("team", None)
        for name, value in given.items():
            setattr(channel, name, value)
        if mailboxes is not None:
            channel.recipients = "\n".join(mailboxes)
        if mailboxes and channel.kind != Channel.Kind.EMAIL:
            raise ValidationError({"mailboxes": ["Only channels by e-mail have mailboxes."]})
        try:
            channels.prepare(channel, **entered)
        except ChannelRefused as refused:
            field = {"recipients": "mailboxes"}.get(refused.field, refused.field)
            raise ValidationError({field: [refused.message]}) from None
        return channel

    def entered(self) -> list[str]:
        return [name for name in SECRET if self.validated_data.get(name)]


class TopicSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    explanation = serializers.CharField()


class Topics(serializers.Serializer[Any]):
    results = TopicSerializer(many=True)


class ChannelFilters(django_filters.FilterSet):
    team = django_filters.NumberFilter(field_name="team_id", help_text="Id of the team.")
    search = Search("name", "address", "recipients")

    class Meta:
        model = Channel
        fields: ClassVar = {"kind": ["exact"], "is_active": ["exact"]}


@extend_schema(tags=["Alerts"])
@extend_schema_view(
    list=extend_schema(summary="List channels of alerts"),
    retrieve=extend_schema(
        summary="Read a channel", responses={200: ChannelSerializer, **REFUSALS}
    ),
    create=extend_schema(summary="Make a channel", responses={201: ChannelSerializer, **REFUSALS}),
    partial_update=extend_schema(
        summary="Change a channel", responses={200: ChannelSerializer, **REFUSALS}
    ),
    destroy=extend_schema(summary="Delete a channel and its deliveries"),
)
class ChannelViewSet(
    mixins.CreateModelMixin, mixins.UpdateModelMixin, mixins.DestroyModelMixin, Rows
):
    """Where alerts go."""

    read = Capability.ALERTS_READ
    write = Capability.ALERTS_WRITE
    rows = Channel.objects.select_related("team").order_by("-pk")
    serializer_class = ChannelSerializer
    http_method_names = CHANGING
    filterset_class = ChannelFilters

    def perform_create(self, serializer: Any) -> None:
        channel = serializer.applied()
        self.require("add", channel)
        self._save(serializer, channel)

    def perform_update(self, serializer: Any) -> None:
        channel = serializer.applied()
        self.require("change", channel)  # it was not moved to where the caller may do nothing
        self._save(serializer, channel)

    def perform_destroy(self, instance: Any) -> None:
        channels.delete(channel=instance)

    def _save(self, serializer: Any, channel: Channel) -> None:
        try:
            if not channels.save(channel, entered=serializer.entered()):
                self.tell("channel.changed", channel, team_id=channel.team_id)
        except IntegrityError:
            raise Conflict("There is a channel of this name already.") from None
        serializer.instance = channel

    @extend_schema(
        summary="Send a test alert now",
        request=NothingSerializer,
        responses={200: DeliverySerializer, **REFUSALS},
    )
    @action(methods=["post"], detail=True)
    def test(self, request: Request, pk: str | None = None) -> Response:
        """Also to a channel that is switched off; it is not tried again."""
        channel = self.get_object()
        NothingSerializer(data=request.data).is_valid(raise_exception=True)
        tried = channels.test(channel=channel, by=caller_of(request).name[:100])
        return Response(DeliverySerializer(tried).data)

    @extend_schema(
        summary="List what alerts are about", responses={200: Topics, **REFUSALS}, filters=False
    )
    @action(methods=["get"], detail=False, pagination_class=None, filter_backends=[])
    def topics(self, request: Request) -> Response:
        rows = [topic._asdict() for topic in topics.registered()]
        return Response(Topics({"results": rows}).data)
