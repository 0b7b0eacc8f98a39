from __future__ import annotations

from typing import Any

from apps.oauth import services
from apps.oauth.models import Application
from apps.oauth.services import Issued
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
