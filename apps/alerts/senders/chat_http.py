"""The HTTP of apprise's plugins, led through our guard.

A plugin calls `requests.post(…)` of its own module. There it finds the object below instead, which
prepares the request as `requests` does and sends it by `guarded_fetch`: only to public addresses
or those that the operator listed, connected to as they were judged, no redirect followed, in
bounded time and size. Nothing else of `requests` can be reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

from apps.alerts.errors import SendFailed

_said: ContextVar[list[str] | None] = ContextVar("said", default=None)
_lock: Final = Lock()


@contextmanager
def watched() -> Iterator[list[str]]:
    """What receivers said in this block, or why they were not asked; in words without secrets."""
    said: list[str] = []
    token = _said.set(said)
    try:
        yield said
    finally:
        _said.reset(token)


def guard(module: ModuleType) -> None:
    """From now on the module's HTTP goes through the guard."""
    with _lock:
        real = module.__dict__["requests"]  # a plugin without it is not one of ours
        if not isinstance(real, GuardedRequests):
            setattr(module, "requests", GuardedRequests(real))  # noqa: B010 - of a module


class GuardedRequests:
    """The part of the module `requests` that plugins use."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.codes = real.codes
        self.exceptions = real.exceptions
        self.RequestException = real.RequestException
        self.ConnectionError = real.ConnectionError
        self.Response = real.Response

    def get(self, url: str, **how: Any) -> Any:
        return self.request("GET", url, **how)

    def post(self, url: str, data: Any = None, json: Any = None, **how: Any) -> Any:
        return self.request("POST", url, data=data, json=json, **how)

    def request(self, method: str, url: str, **how: Any) -> Any:
        """Raises what plugins expect: a RequestException."""
        from apps.alerts.senders import webhook

        taken = ("params", "data", "json", "headers", "files", "auth", "cookies")
        given = {name: value for name, value in how.items() if name in taken and value is not None}
        prepared = self._real.Request(method.upper(), url, **given).prepare()
        body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
        headers = {name: str(value) for name, value in prepared.headers.items()}
        try:
            answer = webhook.post(prepared.url, body, headers, prepared.method)
        except SendFailed as failed:
            _note(failed.message)
            raise self._real.ConnectionError("not reached") from None
        if answer.status >= 300:
            _note(f"{urlsplit(prepared.url).hostname} answered with status {answer.status}.")
        else:
            _note(f"{urlsplit(prepared.url).hostname} took it for wrong.")
        return self._response(prepared, answer)

    def _response(self, prepared: Any, answer: Any) -> Any:
        response = self._real.Response()
        response.status_code = answer.status
        response._content = answer.body
        response.headers.update(answer.headers)
        response.url = prepared.url
        response.request = prepared
        response.encoding = "utf-8"
        return response


def _note(text: str) -> None:
    said = _said.get()
    if said is not None:
        said.append(text)
