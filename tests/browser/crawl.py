"""Every page that can be reached, in a real browser: what it sends, loads and complains of."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import Any
from urllib.parse import urldefrag, urlsplit

from playwright.sync_api import Page

_NUMBER = re.compile(r"/(\d+|[0-9a-f]{8}-[0-9a-f-]{27})(?=/|$)")
_LEAVES = ("/logout/", "/jsi18n/")


class Crawl:
    """Goes through the pages of one site by their links, each kind of page `most_alike` times."""

    def __init__(self, page: Page, home: str, *, most: int, most_alike: int = 1) -> None:
        self._page = page
        self._home = home
        self._most = most
        self._most_alike = most_alike
        self._kinds: dict[str, int] = {}
        self.visited: dict[str, int] = {}
        self.headers: dict[str, dict[str, str]] = {}

    def run(self, starts: Iterable[str]) -> None:
        waiting = deque(path for path in starts if self._is_new(path))
        while waiting and len(self.visited) < self._most:
            path = waiting.popleft()
            answer = self._page.goto(path, wait_until="load")
            assert answer is not None, path
            self.visited[path] = answer.status
            self.headers[path] = answer.all_headers()
            if "text/html" in self.headers[path].get("content-type", ""):
                waiting.extend(each for each in self._links() if self._is_new(each))

    def _links(self) -> list[str]:
        hrefs: list[str] = self._page.evaluate(
            "() => [...document.querySelectorAll('a[href]')]"
            ".filter(a => !a.hasAttribute('download')).map(a => a.href)"
        )
        ours = (urldefrag(href).url for href in hrefs if href.startswith(self._home))
        return [href.removeprefix(self._home) for href in ours]

    def _is_new(self, path: str) -> bool:
        where = urlsplit(path)
        names = sorted(part.partition("=")[0] for part in where.query.split("&"))
        kind = _NUMBER.sub("/#", where.path) + "?" + "&".join(names)
        count = self._kinds.get(kind, 0)
        if count >= self._most_alike or any(leaf in path for leaf in _LEAVES):
            return False
        self._kinds[kind] = count + 1
        return True


def policy_of(headers: dict[str, Any]) -> dict[str, list[str]]:
    """The directives of a Content-Security-Policy header."""
    parts = (part.split() for part in headers["content-security-policy"].split(";"))
    return {part[0]: part[1:] for part in parts if part}
