"""/api/v1/teams/{team}/members: who is in a team, and as what."""

from __future__ import annotations

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts import errors, people, permissions
from apps.accounts.api.fields import StrictSerializer
from apps.accounts.api.rows import REFUSALS, caller_of
from apps.accounts.models import Membership, Team
from apps.accounts.roles import Capability
from chatvault.lib.errors import InvalidField


class MemberSerializer(serializers.ModelSerializer[Membership]):
    person = serializers.CharField(source="user.username")
    name = serializers.CharField(source="user.get_full_name")
    is_active = serializers.BooleanField(source="user.is_active")

    class Meta:
        model = Membership
        fields = ("person", "name", "role", "is_active")
        read_only_fields = fields


class GivingSerializer(StrictSerializer):
    role = serializers.ChoiceField(
        choices=Membership.Role.choices, help_text="No more than the caller may do in the team."
    )


class _OfTeam(APIView):
    def team(self, number: int) -> Team:
        """Raises Http404: another team's is one that is not there."""
        seen = permissions.limit(Team.objects.all(), caller_of(self.request))
        team = seen.filter(pk=number).first()
        if team is None:
            raise Http404
        self.check_object_permissions(self.request, team)
        return team


@extend_schema(tags=["Teams"])
class MembersView(_OfTeam):
    capabilities = {"GET": Capability.TEAMS_READ}

    @extend_schema(
        summary="List a team's members", responses={200: MemberSerializer(many=True), **REFUSALS}
    )
    def get(self, request: Request, team_id: int) -> Response:
        rows = Membership.objects.filter(team=self.team(team_id)).select_related("user")
        return Response({"results": MemberSerializer(rows.order_by("pk"), many=True).data})


@extend_schema(tags=["Teams"])
class MemberView(_OfTeam):
    """One person by the exact user name or e-mail address; nobody can leaf through people."""

    capabilities = {"PUT": Capability.TEAMS_WRITE, "DELETE": Capability.TEAMS_WRITE}

    @extend_schema(
        summary="Give a role in a team",
        request=GivingSerializer,
        responses={200: MemberSerializer, **REFUSALS},
    )
    def put(self, request: Request, team_id: int, person: str) -> Response:
        team = self.team(team_id)
        given = GivingSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        role = given.validated_data["role"]
        try:
            user = people.find_person(person)
            people.give_role(user=user, role=role, team=team, by=caller_of(request))
        except errors.NoSuchPerson as wrong:
            raise InvalidField(str(wrong)) from None
        except errors.NotYoursToGive as wrong:
            self.permission_denied(request, message=str(wrong))
        return Response(MemberSerializer(Membership.objects.get(team=team, user=user)).data)

    @extend_schema(summary="Take somebody out of a team", responses={204: None, **REFUSALS})
    def delete(self, request: Request, team_id: int, person: str) -> Response:
        team = self.team(team_id)
        row = Membership.objects.filter(team=team, user__username=person).first()
        if row is None:
            raise Http404
        try:
            people.take_role(user=row.user, role=row.role, team=team, by=caller_of(request))
        except errors.NotYoursToGive as wrong:
            self.permission_denied(request, message=str(wrong))
        return Response(status=204)
