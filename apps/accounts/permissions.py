"""Which capability each kind of row asks for, and in whose teams: read by the admin and by all
who list rows for somebody.

Apps above add theirs with `register` when they start; a model that nobody registered is the
owner's alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.db.models import Model, Q, QuerySet

from apps.accounts.principals import Principal, of_user
from apps.accounts.roles import Capability

if TYPE_CHECKING:
    from apps.accounts.models import User

C = Capability
_Row = TypeVar("_Row", bound=Model)
_ACTIONS: Final = ("view", "add", "change", "delete")
_ATTRIBUTE: Final = "_chatvault_principal"


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What it takes to see and to change the rows of one model.

    `teams` are paths from a row to the id of its team; without any, the rows are the whole
    installation's. `changed_by` are the paths that count for changes, where they are fewer: a
    team's own ceiling is not raised by the team. `client_column` holds the id of a client that
    may be gone. `whole` are actions that need the capability in the whole installation.
    """

    view: Capability
    change: Capability | None = None
    teams: tuple[str, ...] = ()
    changed_by: tuple[str, ...] | None = None
    client_column: str = ""
    whole: frozenset[str] = frozenset()

    @property
    def is_of_teams(self) -> bool:
        return bool(self.teams or self.client_column)

    def needed(self, action: str) -> Capability | None:
        return self.view if action == "view" else self.change

    def paths(self, action: str) -> tuple[str, ...]:
        if action in self.whole:
            return ()
        if action != "view" and self.changed_by is not None:
            return self.changed_by
        return self.teams

    def within(self, model: type[Model], action: str, teams: Iterable[int]) -> Q:
        """The rows that belong to one of these teams."""
        found = Q(pk__in=())
        for path in self.paths(action):
            reached = Q(**{f"{path}__in": teams})
            if _is_many(model, path):
                reached = Q(pk__in=model._default_manager.filter(reached).values("pk"))
            found |= reached
        if self.client_column and action not in self.whole:
            found |= Q(**{f"{self.client_column}__in": _clients_of(teams)})
        return found

    def teams_of(self, row: Model, action: str) -> set[int]:
        """The teams that a row belongs to, saved or not."""
        found = {_at_end(row, path) for path in self.paths(action) if not _is_many(type(row), path)}
        for path in self.paths(action):
            if _is_many(type(row), path) and row.pk is not None:
                rows = type(row)._default_manager.filter(pk=row.pk)
                found |= set(rows.values_list(path, flat=True))
        if self.client_column and action not in self.whole:
            found.add(_team_of_client(getattr(row, self.client_column)))
        return {team for team in found if team is not None}


_rows: Final[dict[str, Rows]] = {}


def register(label: str, rows: Rows) -> None:
    """The rows of the model `app.model`. One registration a model."""
    if _rows.get(label, rows) != rows:
        raise ValueError(f"{label} is registered already.")
    _rows[label] = rows


def rows_of(model: type[Model] | Model) -> Rows | None:
    return _rows.get(model._meta.label_lower)


def registered() -> dict[str, Rows]:
    return dict(_rows)


def principal_of(user: Any) -> Principal:
    """Of whoever is signed in, asked once a request; nobody has no capability."""
    if not getattr(user, "is_authenticated", False):
        return Principal("anonymous", "not signed in")
    known: Principal | None = user.__dict__.get(_ATTRIBUTE)
    if known is None:
        known = of_user(user)
        user.__dict__[_ATTRIBUTE] = known
    return known


def forget(user: User) -> None:
    """Its roles have changed: ask again."""
    user.__dict__.pop(_ATTRIBUTE, None)


def may(who: Principal, action: str, model: type[Model] | Model) -> bool:
    """With some row of the model at least, or in the whole installation where it has no team."""
    rows = rows_of(model)
    if rows is None:
        return who.is_owner
    needed = rows.needed(action)
    if needed is None:
        return False
    if rows.client_column or rows.paths(action):
        return who.may_somewhere(needed)
    return who.may(needed)


def may_touch(who: Principal, action: str, row: Model) -> bool:
    """With this very row."""
    rows = rows_of(row)
    if rows is None:
        return who.is_owner
    needed = rows.needed(action)
    if needed is None:
        return False
    if who.may(needed):
        return True
    if not who.may_somewhere(needed):
        return False
    return any(who.may(needed, team) for team in rows.teams_of(row, action))


def limit(queryset: QuerySet[_Row], who: Principal, action: str = "view") -> QuerySet[_Row]:
    """Of these rows the ones with which it is allowed."""
    rows = rows_of(queryset.model)
    if rows is None:
        return queryset if who.is_owner else queryset.none()
    needed = rows.needed(action)
    if needed is None:
        return queryset.none()
    teams = who.teams_with(needed)
    if teams is None:
        return queryset
    return queryset.filter(rows.within(queryset.model, action, teams)) if teams else queryset.none()


def has_perm(user: User, permission: str) -> bool:
    """Django's question, `app.action_model`, answered from the table."""
    app, _, codename = permission.partition(".")
    action, _, model = codename.partition("_")
    who = principal_of(user)
    rows = _rows.get(f"{app}.{model}")
    if rows is None or action not in _ACTIONS:
        return who.is_owner
    needed = rows.needed(action)
    if needed is None:
        return False
    if rows.client_column or rows.paths(action):
        return who.may_somewhere(needed)
    return who.may(needed)


def has_module_perms(user: User, app: str) -> bool:
    """Whether any page of the app is open."""
    who = principal_of(user)
    names = (label for label in _rows if label.partition(".")[0] == app)
    return who.is_owner or any(
        has_perm(user, f"{app}.view_{label.partition('.')[2]}") for label in names
    )


def _is_many(model: type[Model], path: str) -> bool:
    field = model._meta.get_field(path.partition("__")[0])
    return bool(field.one_to_many or field.many_to_many)


def _at_end(row: Any, path: str) -> int | None:
    for name in path.split("__"):
        row = getattr(row, name, None)
        if row is None:
            return None
    return int(row)


def _clients_of(teams: Iterable[int]) -> Any:
    from apps.accounts.models import Client

    return Client.objects.filter(team__in=teams).order_by().values("pk")


def _team_of_client(client_id: int) -> int | None:
    from apps.accounts.models import Client

    found = Client.objects.filter(pk=client_id).values_list("team_id", flat=True)
    return found.first()


_INSTALLATION: Final = {
    ("providers.provider", "providers.credential", "providers.deployment", "providers.alias",
     "providers.target", "providers.probe"): Rows(view=C.PROVIDERS_READ, change=C.PROVIDERS_WRITE),
    ("configuration.revision",): Rows(view=C.CONFIG_READ, change=C.CONFIG_WRITE),
    ("configuration.scheduledjob", "configuration.jobrun", "django_celery_beat.periodictask",
     "django_celery_beat.intervalschedule", "django_celery_beat.crontabschedule",
     "django_celery_beat.clockedschedule", "django_celery_beat.solarschedule"):
        Rows(view=C.OPERATIONS_READ, change=C.OPERATIONS_WRITE),
    ("audit.auditevent",): Rows(view=C.AUDIT_READ),
    ("accounts.signingkey", "accounts.tokensession", "accounts.trustedissuer",
     "accounts.issuerrule"): Rows(view=C.SIGN_IN_READ, change=C.SIGN_IN_WRITE),
    ("accounts.installationrole",): Rows(view=C.PEOPLE_READ, change=C.PEOPLE_WRITE),
}  # fmt: skip
"""Of the apps beside and below this one, which know nothing of capabilities."""


def register_own() -> None:
    for labels, rows in _INSTALLATION.items():
        for label in labels:
            register(label, rows)
    of_team = ("team_id",)
    register(
        "accounts.team",
        Rows(
            view=C.TEAMS_READ,
            change=C.TEAMS_WRITE,
            teams=("id",),
            whole=frozenset({"add", "delete"}),
        ),
    )
    register("accounts.membership", Rows(view=C.TEAMS_READ, change=C.TEAMS_WRITE, teams=of_team))
    register("accounts.client", Rows(view=C.CLIENTS_READ, change=C.CLIENTS_WRITE, teams=of_team))
    register(
        "accounts.apikey",
        Rows(view=C.KEYS_READ, change=C.KEYS_WRITE, teams=("client__team_id",)),
    )
    register(
        "accounts.user",
        Rows(
            view=C.TEAMS_READ,
            change=C.PEOPLE_WRITE,
            teams=("memberships__team_id",),
            changed_by=(),
        ),
    )
