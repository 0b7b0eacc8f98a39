from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from apps.oauth import services
from apps.oauth.generators import access_token, digest, refresh_token
from apps.oauth.models import AccessToken, Application, RefreshToken
from apps.oauth.services import Issued
from chatvault.lib import clock
from tests.factories.accounts import make_client
from tests.factories.numbers import unique


def make_application(**fields: Any) -> Issued:
    """`.application` is the row, `.secret` what a confidential one shows."""
    fields["payer"] = fields.get("payer") or make_client()
    fields.setdefault("name", unique("application"))
    fields.setdefault("client_type", Application.CLIENT_CONFIDENTIAL)
    fields.setdefault("scopes", ["inference", "usage:read"])
    fields.setdefault("authorization_grant_type", Application.GRANT_AUTHORIZATION_CODE)
    if fields["authorization_grant_type"] == Application.GRANT_AUTHORIZATION_CODE:
        fields.setdefault("redirect_uris", "https://app.example/cb")
    return services.make_application(application=Application(**fields))


def make_grant(*, user: Any, **fields: Any) -> RefreshToken:
    """A pair that a new application holds for somebody."""
    application = make_application(**fields).application
    common = {"user": user, "application": application, "token": ""}
    access = AccessToken.objects.create(
        scope="inference",
        expires=clock.now() + timedelta(minutes=15),
        token_checksum=digest(access_token()),
        **common,
    )
    return RefreshToken.objects.create(
        access_token=access,
        token_family=uuid.uuid4(),
        token_checksum=digest(refresh_token()),
        **common,
    )
