"""Every page, found by its links and by the URLconf, under the policy that is sent with it.

`make test-long` looks at one page of each kind as far as the first hops lead; `make crawl` at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.test import RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from playwright.sync_api import Page

from apps.accounts.models import User
from apps.configuration import revisions
from apps.usage.models import JournalCursor
from tests.browser.crawl import Crawl, policy_of
from tests.browser.world import make_traffic

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.django_db(transaction=True)]

IS_FULL = bool(os.environ.get("CHATVAULT_TEST_CRAWL"))
FIRST_PAGES = 14  # of the short crawl, beside those of the URLconf
NO_PAGES = ("/logout/", "/jsi18n/", "/autocomplete/", "/static/", "/admin/search/")
"""Posted to, files, data, and the part of a page that the command palette loads."""
FIXED = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def plain_urls(patterns: list[URLPattern | URLResolver], before: str = "/") -> Iterator[str]:
    """The paths of the URLconf that hold no argument."""
    for pattern in patterns:
        path = before + str(pattern.pattern).lstrip("^").rstrip("$").replace("\\Z", "")
        if isinstance(pattern, URLResolver):
            yield from plain_urls(pattern.url_patterns, path)
        elif not set(path) & set("<>(?)[]\\*"):
            yield path


@pytest.fixture
def crawl(admin_page: Page, live_server: Any, ada: Any) -> Crawl:
    make_traffic(12)
    JournalCursor.objects.create(segment="0000-1-00000000.cvj", offset=1_048_576)
    revisions.record(source="admin", actor=ada, comment="set up")
    most = 5_000 if IS_FULL else FIRST_PAGES
    return Crawl(admin_page, live_server.url, most=most, most_alike=2 if IS_FULL else 1)


def test_every_page_keeps_to_its_policy(crawl: Crawl, rf: RequestFactory, ada: User) -> None:
    """No violation, no error in the console, nothing from elsewhere: see `Watch`."""
    starts = ["/admin/", reverse("swagger-ui"), reverse("redoc")]
    starts += [reverse("oauth:allowed"), reverse("oauth:device")]
    starts += _pages_without_links(rf, ada) if IS_FULL else _forms()
    crawl.run(starts)
    assert [path for path, status in crawl.visited.items() if status != 200] == []
    for path, headers in crawl.headers.items():
        _assert_defended(path, headers)
    assert len(crawl.visited) >= (500 if IS_FULL else FIRST_PAGES)


def _assert_defended(path: str, headers: dict[str, str]) -> None:
    policy = policy_of(headers)
    objects, scripts = [  # CSP Level 3, §6.8.3: without them, default-src holds
        policy.get(name, policy["default-src"]) for name in ("object-src", "script-src")
    ]
    assert policy["default-src"] == ["'none'"], path
    assert policy["frame-ancestors"] == ["'none'"], path
    assert policy["base-uri"] == ["'none'"], path
    assert objects == ["'none'"], path
    assert "unsafe" not in headers["content-security-policy"], path
    assert scripts == ["'none'"] or "'self'" in scripts, path
    assert {name: headers.get(name) for name in FIXED} == FIXED, path
    assert "camera=()" in headers["permissions-policy"], path
    assert "no-store" in headers["cache-control"], path


def _forms() -> list[str]:
    """One page with every kind of widget that the theme has."""
    return [
        reverse("admin:accounts_client_add"),
        reverse("admin:providers_alias_add"),
        reverse("admin:billing_price_add"),
        reverse("admin:usage_requestlog_changelist"),
    ]


def _pages_without_links(rf: RequestFactory, ada: User) -> list[str]:
    """Pages of the admin that the URLconf knows, whether a link leads there or not."""
    request = rf.get(reverse("admin:index"))
    request.user = ada
    refused = {
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")
        for model, page in admin.site._registry.items()
        if not page.has_add_permission(request)
    }
    found = plain_urls(get_resolver().url_patterns)
    pages = [path for path in found if path.startswith(request.path) and path not in refused]
    assert len(pages) > len(admin.site._registry)
    return [path for path in pages if not any(part in path for part in NO_PAGES)]
