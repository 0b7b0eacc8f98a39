"""People who sign in, with hashes that are as cheap as tests may want them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.cache import cache

from apps.sign_in.models import IdentityProvider
from apps.sign_in.outside import secret
from tests.fakes.oidc import CLIENT_ID, CLIENT_SECRET, FakeOidc


@pytest.fixture(autouse=True)
def _cheap_and_uncounted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Argon2 with the least of everything; nothing that was counted for other tests."""
    monkeypatch.setattr(Argon2PasswordHasher, "time_cost", 1)
    monkeypatch.setattr(Argon2PasswordHasher, "memory_cost", 8)
    monkeypatch.setattr(Argon2PasswordHasher, "parallelism", 1)
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def op() -> Iterator[FakeOidc]:
    """An OpenID provider that is told nothing wrong yet."""
    fake = FakeOidc().start()
    fake.redirect_uris.add("http://testserver/sign-in/with/op/callback/")
    yield fake
    fake.stop()


@pytest.fixture
def provider(op: FakeOidc, settings: Any, db: None) -> IdentityProvider:
    """The provider above, which the operator has listed."""
    return make_provider(op, settings)


def make_provider(op: FakeOidc, settings: Any, **fields: Any) -> IdentityProvider:
    own = settings.CHATVAULT.sign_in.model_copy(update={"private_hosts": (f"127.0.0.1:{op.port}",)})
    settings.CHATVAULT = replace(settings.CHATVAULT, sign_in=own)
    made = IdentityProvider.objects.create(
        **{"name": "Example", "slug": "op", "server_url": op.issuer, "client_id": CLIENT_ID}
        | fields
    )
    secret.seal(made, CLIENT_SECRET)
    made.save()
    return made
