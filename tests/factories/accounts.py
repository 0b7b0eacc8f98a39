from __future__ import annotations

from typing import Any

from apps.accounts import services
from apps.accounts.models import Client, InstallationRole, Membership, Team, User
from apps.accounts.services import IssuedKey
from tests.factories.numbers import unique


def make_user(**fields: Any) -> User:
    """A person; `password` is hashed."""
    password = fields.pop("password", None)
    fields.setdefault("username", unique("user"))
    user = User(**fields)
    user.set_password(password)
    user.save()
    return user


def make_team(**fields: Any) -> Team:
    return Team.objects.create(**{"name": unique("team")} | fields)


def make_person(role: str = "viewer", team: Team | None = None, **fields: Any) -> User:
    """Somebody with this role in the team, or in the whole installation."""
    user = make_user(**fields | ({"is_superuser": True} if (role, team) == ("owner", None) else {}))
    if team is not None:
        Membership.objects.create(user=user, team=team, role=role)
    elif role != "owner":
        InstallationRole.objects.create(user=user, role=role)
    return user


def make_membership(**fields: Any) -> Membership:
    fields.setdefault("team", None)
    fields["team"] = fields["team"] or make_team()
    fields["user"] = fields.get("user") or make_user()
    return Membership.objects.create(**fields)


def make_client(*, aliases: Any = (), **fields: Any) -> Client:
    fields["team"] = fields.get("team") or make_team()
    client = Client.objects.create(**{"name": unique("client")} | fields)
    client.aliases.set(aliases)
    return client


def make_key(**fields: Any) -> IssuedKey:
    """An issued key: `.key` is the row, `.secret.reveal()` what a client sends."""
    fields["client"] = fields.get("client") or make_client()
    fields.setdefault("name", unique("key"))
    fields.setdefault("actor", None)
    return services.issue_key(**fields)
