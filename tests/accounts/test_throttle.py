"""The guard of the control plane's endpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.views import View
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from apps.accounts import throttle
from chatvault.lib.addresses import counted_as
from chatvault.settings.throttle import ThrottleSettings

Web = RequestFactory


@pytest.fixture
def rates(settings: Any) -> Callable[..., None]:
    """Set rates: `rates(sign_in_per_address="2/m")`; the others are off."""

    def set_rates(**given: str) -> None:
        wanted: dict[str, Any] = dict.fromkeys(ThrottleSettings.model_fields, "off") | given
        throttle = ThrottleSettings(**wanted)
        settings.CHATVAULT = replace(settings.CHATVAULT, throttle=throttle)

    return set_rates


@throttle.throttled("sign_in", account="username")
def sign_in(request: HttpRequest) -> HttpResponse:
    return HttpResponse("tried")


def attempt(view: Any, address: str = "192.0.2.1", path: str = "/", **form: str) -> Any:
    return view(Web().post(path, form, REMOTE_ADDR=address))


def test_one_address_may_try_so_often_and_others_are_not_concerned(rates: Any) -> None:
    rates(sign_in_per_address="2/h")
    assert [attempt(sign_in).status_code for _ in range(4)] == [200, 200, 429, 429]
    assert attempt(sign_in, address="192.0.2.2").status_code == 200


def test_one_account_may_be_tried_so_often_from_wherever_however_it_is_written(rates: Any) -> None:
    rates(sign_in_per_account="2/h")
    found = [
        attempt(sign_in, address=f"192.0.2.{i}", username=name).status_code
        for i, name in enumerate(("alice", "Alice ", "ALICE", "bob"))
    ]
    assert found == [200, 200, 429, 200]


def test_who_is_refused_by_address_does_not_lock_the_account(rates: Any) -> None:
    rates(sign_in_per_address="1/h", sign_in_per_account="2/h")
    for _ in range(5):
        attempt(sign_in, username="alice")
    assert attempt(sign_in, address="192.0.2.9", username="alice").status_code == 200


def test_looking_at_the_form_is_not_counted(rates: Any) -> None:
    rates(sign_in_per_address="1/h")
    assert [sign_in(Web().get("/")).status_code for _ in range(3)] == [200] * 3


def test_a_page_answers_people_and_says_when_to_come_back(rates: Any) -> None:
    rates(sign_in_per_address="1/h")
    attempt(sign_in)
    refused = attempt(sign_in)
    assert 1 <= int(refused["Retry-After"]) <= 3600
    assert refused["Cache-Control"] == "no-store"
    assert b"<h1>Too many attempts</h1>" in refused.content
    assert refused["Retry-After"].encode() in refused.content


def test_the_api_is_answered_in_its_envelope(rates: Any) -> None:
    rates(sign_in_per_address="1/h")
    attempt(sign_in, path="/api/v1/x")
    error = json.loads(attempt(sign_in, path="/api/v1/x").content)["error"]
    assert (error["type"], error["code"], error["param"]) == (
        "rate_limit_error", "too_many_attempts", None,
    )  # fmt: skip


def test_oauth_endpoints_are_answered_as_rfc_6749_says(rates: Any) -> None:
    rates(token_per_account="1/h")

    class Token(throttle.Throttled, View):
        throttle_group = "token"

        def throttle_account(self, request: HttpRequest) -> str | None:
            return request.POST.get("client_id")

        def post(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("a token")

    view = Token.as_view()
    assert attempt(view, client_id="app").status_code == 200
    refused = attempt(view, address="192.0.2.7", client_id="app")
    assert refused.status_code == 429 and refused["Retry-After"]
    assert json.loads(refused.content)["error"] == "temporarily_unavailable"
    assert attempt(view, client_id="other").status_code == 200


def test_views_of_the_rest_framework_are_guarded_by_default(rates: Any) -> None:
    rates(api_per_address="2/h")

    class Anything(APIView):
        authentication_classes: list[Any] = []
        permission_classes: list[Any] = []

        def get(self, request: Any) -> Response:
            return Response("fine")

    view = Anything.as_view()
    answers = [view(APIRequestFactory().get("/api/v1/x")) for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[2].data["error"]["code"] == "too_many_attempts"
    assert int(answers[2]["Retry-After"]) >= 1


def test_an_async_view_is_refused_when_it_is_written() -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    with pytest.raises(TypeError, match="async"):
        throttle.throttled("sign_in")(view)  # type: ignore[arg-type]


def test_endpoints_of_different_groups_do_not_share_a_count(rates: Any) -> None:
    rates(sign_in_per_address="1/h", password_per_address="1/h")
    password = throttle.throttled("password")(lambda request: HttpResponse())
    assert attempt(sign_in).status_code == 200
    assert attempt(password).status_code == 200
    assert attempt(password).status_code == 429


@pytest.mark.parametrize("rate", ["", "10", "0/m", "10/w", "-1/m", "10/0m", "1.5/s", "10/m;x"])
def test_a_rate_that_cannot_be_read_is_refused_at_start(rate: str) -> None:
    with pytest.raises(Exception, match="write a rate as"):
        ThrottleSettings(sign_in_per_address=rate)


def test_every_group_has_its_two_rates() -> None:
    fields = {name for name in ThrottleSettings.model_fields if "key_failures" not in name}
    groups = set(throttle.Group.__args__)  # type: ignore[attr-defined]
    assert {f"{group}_per_{by}" for group in groups for by in ("address", "account")} == fields


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("not:an:address", "not:an:address"),
    ],
)
def test_neighbours_of_one_subscriber_count_as_one(address: str, counted: str) -> None:
    assert counted_as(address) == counted
