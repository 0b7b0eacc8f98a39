"""Who holds an OAuth access token: asked by gateways and by the API, for many at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from django.db.models import Q

from apps.accounts.credentials import KeyRecord, Question
from apps.accounts.models import InstallationRole, Membership, User
from apps.accounts.principals import Principal
from apps.accounts.roles import Capability, of_roles, of_scopes
from apps.oauth.models import AccessToken
from apps.oauth.scopes import narrowed

_EVERYTHING = frozenset(Capability)


def find_tokens(questions: Sequence[Question]) -> Mapping[str, KeyRecord]:
    """In at most three queries. What a token may do is what it was given, as far as the
    application and the person may still do it now."""
    asked = {checksum: one.digest for one in questions for checksum in one.candidates}
    rows = list(
        AccessToken.objects.filter(
            Q(user=None) | Q(user__is_active=True),
            token_checksum__in=asked,
            is_for_gateway=True,
            application__is_active=True,
        ).select_related("application__payer__team", "user")
    )
    people = principals_of({row.user for row in rows if row.user is not None})
    return {
        asked[row.token_checksum]: _record(row, people[row.user_id] if row.user_id else None)
        for row in rows
    }


def principals_of(users: Iterable[User]) -> dict[int, Principal]:
    """What each of them may do now, by two queries for all."""
    by_id = {user.pk: user for user in users}
    limited = [pk for pk, user in by_id.items() if not user.is_superuser]
    in_team: dict[int, dict[int, list[str]]] = defaultdict(dict)
    everywhere: dict[int, list[str]] = defaultdict(list)
    if limited:
        memberships = Membership.objects.filter(user__in=limited, team__is_active=True)
        for user_id, team_id, role in memberships.values_list("user_id", "team_id", "role"):
            in_team[user_id].setdefault(team_id, []).append(role)
        roles = InstallationRole.objects.filter(user__in=limited)
        for user_id, role in roles.values_list("user_id", "role"):
            everywhere[user_id].append(role)
    return {
        pk: Principal(
            "oauth",
            user.get_username(),
            everywhere=(
                _EVERYTHING if user.is_superuser else of_roles(everywhere[pk], in_team=False)
            ),
            in_teams={
                team_id: of_roles(names, in_team=True) for team_id, names in in_team[pk].items()
            },
            user_id=pk,
        )
        for pk, user in by_id.items()
    }


def _record(row: AccessToken, person: Principal | None) -> KeyRecord:
    application = row.application
    assert application is not None  # the query asked for it
    payer = application.payer
    given = of_scopes(narrowed(row.scope.split(), application, None))
    held = {each for each in given if person is None or person.may(each, payer.team_id)}
    name = f"{application} for {person.name}" if person else str(application)
    return KeyRecord(
        key_id=0,
        client_id=payer.pk,
        name=name,
        is_active=payer.is_active and payer.team.is_active,
        expires_at_s=row.expires.timestamp(),
        kind="oauth",
        team_id=payer.team_id,
        scopes=frozenset(each.value for each in held),
        user_id=row.user_id or 0,
        application_id=application.pk,
        stored=row.token_checksum,
    )
