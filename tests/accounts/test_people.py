"""Roles are given and taken by whoever holds them, and the last owner stays."""

from __future__ import annotations

import pytest

from apps.accounts import errors, people
from apps.accounts.models import InstallationRole, Membership
from apps.accounts.principals import of_user
from apps.accounts.roles import Capability, Role
from apps.audit.models import AuditEvent
from apps.configuration.models import Announcement
from tests.factories import make_client, make_membership, make_person, make_team, make_user

pytestmark = pytest.mark.django_db


def told() -> list[tuple[str, str]]:
    return list(AuditEvent.objects.order_by("id").values_list("action", "target"))


@pytest.mark.parametrize(
    ("role", "may_give"),
    [
        ("viewer", set()),
        ("member", set()),
        ("admin", {"viewer", "member", "admin", "operator", "auditor"}),
        ("billing_admin", set()),
        ("operator", set()),
        ("auditor", set()),
        ("owner", {"viewer", "member", "admin", "billing_admin", "operator", "auditor", "owner"}),
    ],
)
def test_in_a_team_nobody_gives_more_than_they_have(role, may_give):
    team, other = make_team(), make_team()
    by = of_user(make_person(role, team))
    assert set(people.roles_to_give(by, team)) == may_give
    assert people.roles_to_give(by, other) == people.roles_to_give(by, None) == []
    for each in Role:
        user = make_user()
        if each in people.roles_to_give(by, team):
            assert people.give_role(user=user, role=each, team=team, by=by)
        else:
            with pytest.raises(errors.NotYoursToGive):
                people.give_role(user=user, role=each, team=team, by=by)
            assert not user.memberships.exists()
        with pytest.raises(errors.NotYoursToGive):
            people.give_role(user=user, role=each, team=other, by=by)
        with pytest.raises(errors.NotYoursToGive):
            people.give_role(user=user, role=each, by=by)


def test_a_role_given_is_held_at_once_told_and_announced(django_capture_on_commit_callbacks):
    team, user, by = make_team(), make_user(username="eve"), of_user(make_person("owner"))
    with django_capture_on_commit_callbacks(execute=True):
        assert people.give_role(user=user, role="member", team=team, by=by)
        assert not people.give_role(user=user, role="member", team=team, by=by)
        assert people.give_role(user=user, role="admin", team=team, by=by)
    assert of_user(user).may(Capability.KEYS_WRITE, team.pk)
    assert Membership.objects.get().role == "admin"
    assert told() == [("role.given", "eve"), ("role.changed", "eve")]
    changed = AuditEvent.objects.order_by("id").last()
    assert changed is not None
    assert (changed.before["role"], changed.after["role"], changed.team_id) == (
        "member",
        "admin",
        team.pk,
    )
    assert {(row.topic, row.subject) for row in Announcement.objects.all()} == {
        ("accounts.holder", f"user:{user.pk}")
    }


def test_what_is_above_somebody_is_not_theirs_to_take():
    team = make_team()
    lead, boss = make_person("admin", team), make_person("owner", team)
    for verb in (people.take_role, people.give_role):
        role = "owner" if verb is people.take_role else "viewer"
        with pytest.raises(errors.NotYoursToGive):
            verb(user=boss, role=role, team=team, by=of_user(lead))
    assert Membership.objects.get(user=boss).role == "owner"
    assert told() == []


def test_the_last_owner_stays():
    owner = make_person("owner")
    make_person("owner", is_active=False)
    by = of_user(owner)
    attempts = (
        lambda: people.take_role(user=owner, role=Role.OWNER, by=by),
        lambda: people.disable_user(user=owner, by=by),
        lambda: people.delete_user(user=owner, by=by),
    )
    for attempt in attempts:
        with pytest.raises(errors.LastOwner):
            attempt()
    assert told() == []
    other = make_user()
    people.give_role(user=other, role=Role.OWNER, by=by)
    assert people.take_role(user=owner, role=Role.OWNER, by=by)
    owner.refresh_from_db()
    assert not owner.is_superuser
    with pytest.raises(errors.LastOwner):
        people.disable_user(user=other, by=of_user(other))


@pytest.mark.parametrize("role", ["auditor", "operator", "billing_admin", "admin"])
def test_only_owners_switch_people_off(role):
    by, user = of_user(make_person(role)), make_user()
    for verb in (people.disable_user, people.enable_user, people.delete_user):
        with pytest.raises(errors.NotYoursToGive):
            verb(user=user, by=by)
    user.refresh_from_db()
    assert user.is_active


def test_who_is_disabled_may_nothing_and_everything_again_later(
    django_capture_on_commit_callbacks,
):
    team, owner = make_team(), of_user(make_person("owner"))
    user = make_person("admin", team, username="eve")
    with django_capture_on_commit_callbacks(execute=True):
        assert people.disable_user(user=user, by=owner)
        assert not people.disable_user(user=user, by=owner)
    assert of_user(user).in_teams == {}
    assert people.enable_user(user=user, by=owner)
    assert of_user(user).may(Capability.KEYS_WRITE, team.pk)
    assert told() == [("user.disabled", "eve"), ("user.enabled", "eve")]
    assert Announcement.objects.filter(subject=f"user:{user.pk}").exists()


def test_roles_in_the_installation_add_up():
    user, by = make_user(), of_user(make_person("owner"))
    people.give_role(user=user, role="auditor", by=by)
    people.give_role(user=user, role="billing_admin", by=by)
    held = of_user(user)
    assert held.may(Capability.BILLING_WRITE)
    assert held.may(Capability.AUDIT_READ)
    assert not held.may(Capability.PEOPLE_WRITE)
    people.take_role(user=user, role="billing_admin", by=by)
    assert list(InstallationRole.objects.values_list("role", flat=True)) == ["auditor"]


def test_a_role_in_a_team_gives_nothing_of_the_installation():
    team = make_team()
    held = of_user(make_person("owner", team))
    assert not held.may_somewhere(Capability.PROVIDERS_READ)
    assert held.teams_with(Capability.CLIENTS_WRITE) == {team.pk}
    team.is_active = False
    team.save()
    assert of_user(make_membership(team=team).user).in_teams == {}


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("eve", True),
        ("eve@example.com", True),
        ("EVE@example.com", True),
        (" eve ", True),
        ("ev", False),
        ("%", False),
        ("eve@example", False),
        ("@example.com", False),
        ("twin@example.com", False),
        ("", False),
    ],
)
def test_people_are_found_by_exact_names_only(text, is_found):
    eve = make_user(username="eve", email="eve@example.com")
    make_user(email="twin@example.com")
    make_user(email="twin@example.com")
    if is_found:
        assert people.find_person(text) == eve
    else:
        with pytest.raises(errors.NoSuchPerson):
            people.find_person(text)


def test_djangos_own_permissions_decide_nothing():
    from django.contrib.auth.models import Group, Permission

    user = make_user(is_staff=True)
    group = Group.objects.create(name="all")
    group.permissions.set(Permission.objects.all())
    user.groups.add(group)
    user.user_permissions.set(Permission.objects.all())
    assert not user.has_perm("accounts.view_client")
    assert not user.has_module_perms("accounts")
    assert user.get_all_permissions() == set()
    assert make_client().name
