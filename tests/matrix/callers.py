"""Everybody who asks: nobody, people of every role in the own team and in the installation, and
machines of the own team."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.test import Client as Browser

from apps.accounts.roles import Role
from tests.factories import make_person, make_user
from tests.matrix.places import Place


def _person(role: str, place: Place | None, **fields: object) -> Browser:
    browser = Browser(raise_request_exception=False)
    name = f"{'team' if place else 'all'}-{role}-{len(fields)}"
    person = make_person(role, place.team if place else None, username=name, **fields)
    browser.force_login(person)
    return browser


def _disabled(place: Place) -> Browser:
    """The session was begun before."""
    browser = Browser(raise_request_exception=False)
    person = make_person("owner", None, username="disabled")
    browser.force_login(person)
    person.is_active = False
    person.save()
    return browser


def _stranger(place: Place) -> Browser:
    browser = Browser(raise_request_exception=False)
    browser.force_login(make_user(username="stranger", is_staff=True))
    return browser


def _jwt(place: Place) -> Browser:
    """A team admin's token, with all that the person may do."""
    person = _person("admin", place, email="jwt@example.com")
    asked = {"client": place.client.name}
    answer = person.post("/api/v1/auth/token", asked, content_type="application/json")
    return _bearer(answer.json()["access"])


def _bearer(token: str) -> Browser:
    headers = {"authorization": f"Bearer {token}"}
    return Browser(raise_request_exception=False, headers=headers)


CALLERS: Final[dict[str, Callable[[Place], Browser]]] = {
    "anonymous": lambda place: Browser(raise_request_exception=False),
    "stranger": _stranger,
    "disabled": _disabled,
    **{f"team:{each}": (lambda place, each=each: _person(each, place)) for each in Role},
    **{f"all:{each}": (lambda place, each=each: _person(each, None)) for each in Role},
    "key": lambda place: _bearer(place.secret),
    "jwt": _jwt,
    "unknown key": lambda place: _bearer(place.secret[:-1] + "x"),
}
