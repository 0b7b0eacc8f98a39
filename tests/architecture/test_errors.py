"""One tree of errors: each has status, type and a stable code of its own, and is documented."""

import re
from collections.abc import Iterator

import apps.gateway.http
import apps.providers.errors  # noqa: F401 - so that every subclass is known
from chatvault.lib.errors import ChatVaultError
from tests.architecture.source import ROOT, modules

TYPES = {
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "insufficient_quota",
    "rate_limit_error",
    "service_unavailable_error",
    "upstream_error",
    "server_error",
}


def _tree(root: type[ChatVaultError] = ChatVaultError) -> Iterator[type[ChatVaultError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def test_every_error_has_a_status_and_a_known_type() -> None:
    wrong = [e.__name__ for e in _tree() if not 400 <= e.status <= 599 or e.type not in TYPES]
    assert wrong == []


def test_codes_are_stable_words() -> None:
    assert [e.code for e in _tree() if not re.fullmatch(r"[a-z][a-z0-9_]{2,40}", e.code)] == []


def test_no_two_errors_share_a_code() -> None:
    codes = [error.code for error in _tree() if "code" in vars(error) and not _stands_for(error)]
    assert sorted(codes) == sorted(set(codes))


def _stands_for(error: type[ChatVaultError]) -> bool:
    """InternalError is the root under its own name."""
    return error is not ChatVaultError and error.code == ChatVaultError.code


def test_every_code_is_documented_with_its_status() -> None:
    page = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    missing = [
        f"{error.status} {error.code}"
        for error in _tree()
        if not re.search(rf"\| *{error.status} *\|[^\n]*`{error.code}`", page)
    ]
    assert missing == []


def test_views_and_steps_raise_only_errors_of_the_tree() -> None:
    """What a step raises by name is one of ours, so that a door can render it."""
    known = {error.__name__ for error in _tree()} | {"ClientGone"}
    raised = re.compile(r"^\s+raise (\w+)\(", re.MULTILINE)
    wrong = [
        f"{module.where} raises {name}"
        for module in modules("apps/gateway/steps")
        for name in raised.findall(module.text)
        if name[0].isupper() and name not in known
    ]
    assert wrong == []
