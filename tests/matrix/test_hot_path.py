"""The doors of the data plane, asked at a real gateway: who gets through."""

from __future__ import annotations

from typing import Any, Final

import httpx
import msgspec
import pytest

from apps.accounts.credentials import issue_secret
from tests.matrix.routes import routes
from tests.matrix.table import is_of_the_hot_path

CHAT: Final = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
DOORS: Final[dict[tuple[str, str], Any]] = {
    ("POST", "/v1/chat/completions"): CHAT,
    ("POST", "/v1/completions"): {"model": "m", "prompt": "hi"},
    ("POST", "/v1/embeddings"): {"model": "m", "input": "hi"},
    ("GET", "/v1/models"): None,
    ("GET", "/v1/models/m"): None,
    ("GET", "/v1/nothing"): None,
    ("GET", "/livez"): None,
    ("GET", "/readyz"): None,
}
CALLERS: Final = (
    "nobody", "not a key", "unknown key", "session alone", "disabled", "expired",
    "disabled client", "without the scope", "other model", "key",
)  # fmt: skip
_REFUSED: Final = {"disabled": 403, "disabled client": 403, "without the scope": 403}
_PROBES: Final = ("/livez", "/readyz")


def expected(caller: str, method: str, path: str) -> int:
    if path in _PROBES:
        return 200
    if path == "/v1/nothing":
        return 404  # there is nothing to guard
    if caller == "key":
        return 200
    if caller == "other model":
        return {"/v1/models": 200, "/v1/models/m": 404}.get(path, 403)
    return _REFUSED.get(caller, 401)


def headers_of(gateway: Any, caller: str) -> dict[str, str]:
    if caller == "nobody":
        return {}
    if caller == "session alone":
        return {"cookie": "sessionid=abcdefabcdefabcdefabcdefabcdefab"}
    secret: str = {
        "not a key": lambda: "cv_short",
        "unknown key": issue_secret,
        "disabled": lambda: gateway.add_client(key_is_active=False),
        "expired": lambda: gateway.add_client(expires_at_s=1.0),
        "disabled client": lambda: gateway.add_client(is_active=False),
        "without the scope": gateway.add_client,
        "other model": lambda: gateway.add_client(aliases=frozenset({"other"})),
        "key": gateway.add_client,
    }[caller]()
    if caller == "without the scope":
        [newest] = list(gateway._keys)[-1:]
        record = gateway._keys[newest]
        gateway._keys[newest] = msgspec.structs.replace(record, scopes=frozenset({"usage:read"}))
    return {"authorization": f"Bearer {secret}"}


@pytest.mark.parametrize("caller", CALLERS)
def test_who_gets_through_which_door(gateway, upstream, caller):
    gateway.add_model("m", upstream.url)
    headers = headers_of(gateway, caller)
    with httpx.Client(base_url=gateway.url, headers=headers) as client:
        answers = {
            (method, path): client.request(method, path, json=body).status_code
            for (method, path), body in DOORS.items()
        }
    assert answers == {door: expected(caller, *door) for door in DOORS}
    assert bool(upstream.seen) == (caller == "key")


def test_these_are_all_doors():
    patterns = {route.pattern for route in routes() if is_of_the_hot_path(route)}
    asked = {path.removeprefix("/") for _, path in DOORS}
    named = {"v1/models/m": "v1/models/<path:model>", "v1/nothing": "v1/<path:rest>"}
    assert patterns == {named.get(path, path) for path in asked}
