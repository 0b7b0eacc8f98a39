"""Applications that register themselves (RFC 7591) and look after their registration (RFC 7592).

What is understood of their metadata is named here; anything else is ignored, as RFC 7591 §2 asks:
whose the application is, who pays and what it may do at most is the initial access token's.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, Final

from django.contrib.auth.hashers import check_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F

from apps.accounts import credentials
from apps.oauth import scopes, services
from apps.oauth.generators import REGISTRATION_PREFIX, digest
from apps.oauth.models import Application, InitialAccessToken
from apps.oauth.models.application import is_safe
from chatvault.lib import clock
from chatvault.lib.redact import Secret
from chatvault.lib.writer import hold_writer

_FLOWS: Final = {
    "authorization_code": Application.GRANT_AUTHORIZATION_CODE,
    "client_credentials": Application.GRANT_CLIENT_CREDENTIALS,
    Application.GRANT_DEVICE_CODE: Application.GRANT_DEVICE_CODE,
}
_NAMES: Final = {flow: name for name, flow in _FLOWS.items()}
_METHODS: Final = ("none", "client_secret_basic", "client_secret_post")
_NOT_SENT: Final = (
    "registration_access_token", "registration_client_uri", "client_secret_expires_at",
    "client_id_issued_at",
)  # fmt: skip
_MOST_URIS: Final = 20
_LONGEST: Final = 2000


class Refused(Exception):
    """RFC 7591 §3.2.2."""

    def __init__(self, description: str, error: str = "invalid_client_metadata") -> None:
        super().__init__(description)
        self.error, self.description = error, description


class NotAllowed(Exception):
    """No, or not the right, initial or registration access token: 401."""


def check(*, token: str) -> None:
    """Before anything that was sent is read. Raises NotAllowed."""
    usable = InitialAccessToken.objects.usable(clock.now())
    if not token or not usable.filter(digest=digest(token)).exists():
        raise NotAllowed


@transaction.atomic
def register(*, token: str, metadata: Mapping[str, Any]) -> tuple[services.Issued, Secret]:
    """A new application, its secret and its registration access token.

    Raises NotAllowed or Refused; a refusal does not use up the initial access token.
    """
    hold_writer()
    initial = (
        InitialAccessToken.objects.usable(clock.now())
        .filter(digest=digest(token))
        .select_related("payer__team")
        .first()
    )
    if initial is None:
        raise NotAllowed
    application = Application(
        payer=initial.payer,
        initial_token=initial,
        registration_source=Application.RegistrationSource.DCR,
    )
    _fill(application, metadata, initial.scopes)
    registration = _registration_token(application)
    try:
        issued = services.make_application(application=application)
    except ValidationError as wrong:
        raise _refusal(wrong) from None
    InitialAccessToken.objects.filter(pk=initial.pk).update(uses=F("uses") + 1)
    return issued, registration


def find(*, client_id: str, token: str) -> Application:
    """The registered application that holds this token. Raises NotAllowed."""
    row = (
        Application.objects.filter(
            client_id=client_id, registration_source=Application.RegistrationSource.DCR
        )
        .select_related("payer__team", "initial_token")
        .first()
    )
    shown = digest(token)
    kept = row.registration_digest if row is not None else ""
    if row is None or not row.is_usable(None) or not hmac.compare_digest(shown, kept):
        raise NotAllowed
    return row


@transaction.atomic
def update(
    *, application: Application, metadata: Mapping[str, Any]
) -> tuple[services.Issued, Secret]:
    """Replace all of its metadata (RFC 7592 §2.2); a new registration token takes over.

    Raises Refused.
    """
    hold_writer()
    if metadata.get("client_id") != application.client_id:
        raise Refused("client_id must be the application's own.")
    if sent := [name for name in _NOT_SENT if name in metadata]:
        raise Refused(f"{sent[0]} must not be sent.")
    secret = metadata.get("client_secret")
    if secret is not None and not (
        isinstance(secret, str) and check_password(secret, application.client_secret)
    ):
        raise Refused("client_secret must be the application's own, or left out.")
    before = services.state_of(application)
    was_public = application.client_type == Application.CLIENT_PUBLIC
    initial = application.initial_token
    _fill(application, metadata, initial.scopes if initial else application.scopes)
    registration = _registration_token(application)
    try:
        services.change_application(application=application, before=before)
    except ValidationError as wrong:
        raise _refusal(wrong) from None
    if was_public and application.client_type == Application.CLIENT_CONFIDENTIAL:
        return services.rotate_secret(application=application), registration
    return services.Issued(application, None), registration


def answer(
    application: Application, *, secret: Secret | None, registration: str, address: str
) -> dict[str, Any]:
    """RFC 7591 §3.2.1: all that is registered, and the secrets that are shown now."""
    flow = _NAMES[application.authorization_grant_type]
    is_public = application.client_type == Application.CLIENT_PUBLIC
    told: dict[str, Any] = {
        "client_id": application.client_id,
        "client_id_issued_at": int(application.created.timestamp()),
        "client_name": application.name,
        "redirect_uris": application.redirect_uris.split(),
        "grant_types": [flow] if flow == "client_credentials" else [flow, "refresh_token"],
        "response_types": ["code"] if flow == "authorization_code" else [],
        "token_endpoint_auth_method": "none" if is_public else "client_secret_basic",
        "scope": " ".join(application.scopes),
        "registration_access_token": registration,
        "registration_client_uri": address,
    }
    if application.homepage:
        told["client_uri"] = application.homepage
    if secret is not None:
        told |= {"client_secret": secret.reveal(), "client_secret_expires_at": 0}
    return told


def _fill(application: Application, metadata: Mapping[str, Any], most: list[str]) -> None:
    application.authorization_grant_type = _flow(metadata)
    method = metadata.get("token_endpoint_auth_method", "client_secret_basic")
    if method not in _METHODS:
        raise Refused(f"token_endpoint_auth_method must be one of {', '.join(_METHODS)}.")
    application.client_type = (
        Application.CLIENT_PUBLIC if method == "none" else Application.CLIENT_CONFIDENTIAL
    )
    application.redirect_uris = " ".join(_redirect_uris(metadata))
    application.name = _text(metadata, "client_name", 100) or "Unnamed application"
    application.homepage = _text(metadata, "client_uri", 200)
    asked = _text(metadata, "scope", _LONGEST).split() or most
    if not set(asked) <= set(most) & scopes.OFFERED:
        raise Refused("The initial access token does not allow all of this scope.")
    application.scopes = [one for one in scopes.ORDER if one in asked]


def _flow(metadata: Mapping[str, Any]) -> str:
    named = _texts(metadata, "grant_types", ["authorization_code"])
    flows = [one for one in named if one != "refresh_token"]
    if len(flows) != 1 or flows[0] not in _FLOWS:
        raise Refused(f"grant_types must name one of {', '.join(_FLOWS)}, and refresh_token.")
    kinds = _texts(metadata, "response_types", [])
    if kinds not in ([], ["code"]) or (kinds and flows[0] != "authorization_code"):
        raise Refused("response_types can be code alone, with authorization_code.")
    return _FLOWS[flows[0]]


def _redirect_uris(metadata: Mapping[str, Any]) -> list[str]:
    uris = _texts(metadata, "redirect_uris", [])
    wrong = [one for one in uris if not is_safe(one) or "#" in one or len(one) > _LONGEST]
    if wrong or len(uris) > _MOST_URIS:
        raise Refused(
            "Use at most 20 addresses: https, or http for 127.0.0.1, [::1] or localhost; "
            "without a fragment.",
            "invalid_redirect_uri",
        )
    return uris


def _text(metadata: Mapping[str, Any], name: str, longest: int) -> str:
    value = metadata.get(name, "")
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise Refused(f"{name} must be a text of at most {longest} characters.")
    return value.strip()


def _texts(metadata: Mapping[str, Any], name: str, default: list[str]) -> list[str]:
    value = metadata.get(name, default)
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Refused(f"{name} must be an array of texts.")
    return value


def _registration_token(application: Application) -> Secret:
    token = credentials.issue_secret(REGISTRATION_PREFIX)
    application.registration_digest = digest(token)
    return Secret(token)


def _refusal(wrong: ValidationError) -> Refused:
    if "redirect_uris" in wrong.message_dict:
        return Refused("; ".join(wrong.message_dict["redirect_uris"]), "invalid_redirect_uri")
    return Refused("; ".join(wrong.messages))
