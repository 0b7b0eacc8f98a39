"""Fields that nobody may set, rows that nobody may touch: sent to every route that writes."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.cache import cache
from django.db import transaction
from django.db.models import Model
from django.test import Client as Browser
from django.urls import reverse

from apps.accounts import permissions
from apps.accounts.models import InstallationRole, Membership, User
from apps.accounts.roles import Role
from tests.factories import make_person
from tests.matrix.routes import registered_models
from tests.matrix.table import JSON, MODE, Line, World, is_in_sample, lines

pytestmark = pytest.mark.django_db
_REFUSED: Final = (400, 401, 403, 404, 405)
CHANGES: Final = ("POST", "PUT", "PATCH", "DELETE")


@pytest.fixture(autouse=True)
def quiet(caplog, settings):
    caplog.set_level("CRITICAL")
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher",
        "apps.oauth.hashers.RandomSecretHasher",
    ]


def every_field() -> set[str]:
    """The names of all fields of all our models, and what else attackers try."""
    return {
        name
        for model in apps.get_models()
        if model.__module__.startswith("apps.")
        for field in model._meta.concrete_fields
        for name in (field.name, field.attname)
    } | {"is_admin", "admin", "owner", "owner_id", "scope", "permissions", "groups", "tenant_id"}


def forged(other: Any) -> dict[str, Any]:
    """A value for each: what would give most, or the other team's rows."""
    values: dict[str, Any] = {name: "forged" for name in every_field()}
    values |= dict.fromkeys(
        ("is_superuser", "is_staff", "is_active", "may_use_all_aliases", "is_admin", "admin"), True
    )
    values |= {"role": "owner", "scopes": ["admin", "people:write"], "scope": "admin"}
    for name, row in (("team", other.team), ("client", other.client), ("key", other.key)):
        values |= {name: row.pk, f"{name}_id": row.pk}
    return values | {"user": other.person.pk, "user_id": other.person.pk, "owner": other.person.pk}


def privileges() -> dict[str, Any]:
    """What nobody gets by a field: flags, roles, and which team a row belongs to."""
    found: dict[str, Any] = {
        "users": list(User.objects.order_by("pk").values_list("pk", "is_superuser", "is_active")),
        "memberships": list(Membership.objects.order_by("pk").values_list("pk", "team", "role")),
        "installation": list(InstallationRole.objects.order_by("pk").values_list("user", "role")),
    }
    for model in registered_models():
        rows = permissions.rows_of(model)
        for path in rows.teams if rows else ():
            if path.startswith("memberships"):
                continue
            pairs = model._default_manager.order_by("pk").values_list("pk", path)
            found[f"{model._meta.label}.{path}"] = list(pairs)
    return found


def is_kept(before: dict[str, Any], after: dict[str, Any], other: int) -> bool:
    """Rows that were there are as they were, but for deleted ones; new ones are not the other
    team's, and there are no new people and roles."""
    for name, old in before.items():
        new = after[name]
        if name in ("users", "memberships", "installation") and not set(new) <= set(old):
            return False
        known = {row[0] for row in old}
        if any(row not in old for row in new if row[0] in known):
            return False
        if any(row[1] == other for row in new if row[0] not in known):
            return False
        if any(row not in new for row in old if row[1] == other):
            return False
    return True


@pytest.mark.parametrize("role", [Role.TEAM_ADMIN, Role.BILLING_ADMIN])
def test_no_field_of_any_model_gives_a_privilege(role):
    world = World()
    browser = world.callers[f"team:{role}"]
    values = forged(world.other)
    plain = {
        name: json.dumps(value) if isinstance(value, list) else str(value)
        for name, value in values.items()
    }
    before, wrong = privileges(), []
    for line in lines():
        if line.method not in CHANGES or line.row in ("other", "absent"):
            continue
        if line.route.pattern.startswith("admin/log"):
            continue  # its own session ends
        if MODE == "sample" and not is_in_sample(line, role, one_in=6):
            continue
        cache.clear()
        path = line.route.path(world.values(line))
        with transaction.atomic():
            is_api = line.route.pattern.startswith("api/")
            body: Any = json.dumps(values) if is_api else plain | _management(line)
            send = browser.generic if is_api else browser.post
            if is_api:
                status = send(line.method, path, body, content_type=JSON).status_code
            else:
                status = send(path, body).status_code
            if status not in _REFUSED and not is_kept(before, privileges(), world.other.team.pk):
                wrong.append(line.key)
            transaction.set_rollback(True)
    assert wrong == []


def _management(line: Line) -> dict[str, str]:
    """Inlines of the page, each with one more row."""
    found = {}
    for prefix in ("memberships", "installation_roles", "keys", "quotas", "budgets"):
        found |= {f"{prefix}-TOTAL_FORMS": "1", f"{prefix}-INITIAL_FORMS": "0"}
        found |= {f"{prefix}-0-role": "owner", f"{prefix}-0-person": "other-person"}
    return found


def everything() -> dict[str, list[Any]]:
    return {
        model._meta.label: list(model._default_manager.order_by("pk").values())
        for model in registered_models()
    }


@pytest.mark.parametrize("role", ["auditor", "viewer"])
def test_who_may_only_look_changes_no_row_of_any_page(role):
    world = World()
    browser = Browser(raise_request_exception=False)
    browser.force_login(make_person(role, username="looker"))
    before = everything()
    for at, model in enumerate(registered_models()):
        if MODE == "sample" and at % 4 != (role == "viewer"):
            continue
        page = admin.site._registry[model]
        label = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        row = world.own.row(model)
        values = _changed(row)
        for name in ("change", "delete"):
            browser.post(reverse(f"{label}_{name}", args=[row.pk]), values | {"post": "yes"})
        browser.post(reverse(f"{label}_add"), values)
        names = [getattr(each, "__name__", each) for each in page.actions or ()]
        for action in ("delete_selected", *names):
            chosen = {"action": action, "_selected_action": [row.pk], "index": "0", "post": "yes"}
            browser.post(reverse(f"{label}_changelist"), chosen)
    assert everything() == before


def _changed(row: Model) -> dict[str, str]:
    """Something else in every field."""
    found = {}
    for field in row._meta.concrete_fields:
        value = getattr(row, field.attname)
        found[field.name] = "" if value is True else "on" if value is False else "7"
    return found
