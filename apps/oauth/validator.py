"""What the toolkit asks before it issues anything, and how what it issues is kept.

Codes are looked up by their digests: `request.code` is the code's digest once it was found.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, Final, NoReturn
from uuid import UUID

import jwt
from django.db import transaction
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauthlib.oauth2.rfc6749 import errors
from oauthlib.oauth2.rfc8628 import errors as device_errors

from apps.accounts import principals, signing
from apps.audit import acting, trail
from apps.oauth import scopes
from apps.oauth.core import ISSUER, SIGNED_IN
from apps.oauth.generators import digest
from apps.oauth.issuer import is_elsewhere, is_ours
from apps.oauth.models import AccessToken, Application, DeviceGrant, Grant, RefreshToken
from chatvault.lib import clock
from chatvault.lib.writer import hold_writer

log = logging.getLogger(__name__)

DEVICE: Final = Application.GRANT_DEVICE_CODE
S256: Final = "S256"


class _UsedTwice(Exception):
    """A code or refresh token that works once was shown again: it was copied."""

    def __init__(self, family: UUID | None) -> None:
        self.family = family


class Validator(OAuth2Validator):
    """The toolkit's, with what RFC 9700 asks beyond it."""

    # clients

    def authenticate_client(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        """One method a request (RFC 6749 §2.3); who has no secret cannot show one."""
        if self._extract_basic_auth(request) and getattr(request, "client_secret", None):
            return False
        return bool(super().authenticate_client(request, *args, **kwargs)) and (
            request.client.client_type == Application.CLIENT_CONFIDENTIAL
            or request.grant_type == DEVICE
        )

    def _load_application(self, client_id: str, request: Any) -> Any:
        """Basic credentials may hold a NUL as well, which PostgreSQL cannot be asked about."""
        is_nobodys = not client_id or "\0" in client_id
        return None if is_nobodys else super()._load_application(client_id, request)

    def validate_grant_type(
        self, client_id: str, grant_type: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """The client is authenticated by now: what waits for it may be told."""
        allowed = super().validate_grant_type(client_id, grant_type, client, request)
        if allowed and grant_type == DEVICE:
            self._look_at_device(request)
        return bool(allowed)

    def _look_at_device(self, request: Any) -> None:
        """RFC 8628 §3.5: what a device is answered that asks whether it was allowed."""
        shown = getattr(request, "device_code", None)
        if not shown:
            raise errors.InvalidRequestError("Missing device_code parameter.", request=request)
        device = DeviceGrant.objects.filter(
            device_code=digest(shown), client_id=request.client.client_id
        ).first()
        if device is None or device.status == DeviceGrant.USED:
            raise errors.InvalidGrantError(request=request)
        if device.is_expired():
            raise device_errors.ExpiredTokenError(request=request)
        if device.status == DeviceGrant.DENIED:
            raise device_errors.AccessDenied(request=request)
        if device.status != DeviceGrant.AUTHORIZED:
            self._keep_waiting(device, request)
        user = device.user
        offered = self._still_given(device.scope.split(), request.client, user)
        if not offered:
            raise errors.InvalidGrantError(request=request)
        request.device, request.user, request.scopes = device, user, list(offered)

    def _keep_waiting(self, device: DeviceGrant, request: Any) -> NoReturn:
        now = clock.now()
        before = device.polled_at
        is_early = before is not None and now < before + timedelta(seconds=device.interval)
        interval = device.interval + 5 if is_early else device.interval
        DeviceGrant.objects.filter(pk=device.pk).update(polled_at=now, interval=interval)
        if is_early:
            raise device_errors.SlowDownError(request=request)
        raise device_errors.AuthorizationPendingError(request=request)

    def validate_user(self, *args: Any, **kwargs: Any) -> bool:
        """Nobody's password is taken here (RFC 9700 §2.4)."""
        return False

    # codes

    def _create_authorization_code(
        self, request: Any, code: dict[str, Any], expires: Any = None
    ) -> Grant:
        self._check_and_set_request_resource(request)
        return super()._create_authorization_code(
            request, {**code, "code": digest(code["code"])}, expires
        )

    def validate_code(
        self, client_id: str, code: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """A code that was used before ends all that came from it (RFC 6749 §4.1.2)."""
        stored = digest(code)
        grant = Grant.objects.filter(code=stored, application=client).first()
        if grant is not None and grant.used_at is not None:
            self._end_family(grant.family, request, "an authorization code was used twice")
            return False
        if not super().validate_code(client_id, stored, client, request):
            return False
        offered = self._still_given(request.scopes, client, request.user)
        request.code, request.scopes, request.grant = stored, list(offered), grant
        return bool(offered)

    def get_authorization_code_scopes(
        self, client_id: str, code: str, redirect_uri: str, request: Any
    ) -> list[str]:
        found = super().get_authorization_code_scopes(
            client_id, digest(code), redirect_uri, request
        )
        return list(found)

    def invalidate_authorization_code(
        self, client_id: str, code: str, request: Any, *args: Any, **kwargs: Any
    ) -> None:
        """It was used up before its tokens were kept."""

    # tokens

    def save_bearer_token(self, token: Any, request: Any, *args: Any, **kwargs: Any) -> None:
        """What was shown for it is used up in the same transaction, once among many."""
        try:
            with transaction.atomic():
                hold_writer()
                self._use_up(request)
                super().save_bearer_token(token, request, *args, **kwargs)
        except _UsedTwice as copied:
            self._end_family(copied.family, request, "a code or refresh token was used twice")
            raise errors.InvalidGrantError(request=request) from None

    def _use_up(self, request: Any) -> None:
        if request.grant_type == "authorization_code":
            unused = Grant.objects.filter(pk=request.grant.pk, used_at=None)
            if not unused.update(used_at=clock.now()):
                raise _UsedTwice(request.grant.family)
        elif request.grant_type == "refresh_token":
            shown = request.refresh_token_instance
            row = RefreshToken.objects.select_for_update().filter(pk=shown.pk).first()
            if row is None or row.revoked is not None:
                raise _UsedTwice(shown.token_family)
        elif request.grant_type == DEVICE:
            allowed = DeviceGrant.objects.filter(
                pk=request.device.pk, status=DeviceGrant.AUTHORIZED
            )
            if not allowed.update(status=DeviceGrant.USED):
                raise errors.InvalidGrantError(request=request)

    def _create_access_token(
        self, expires: Any, request: Any, token: Any, source_refresh_token: Any = None
    ) -> AccessToken:
        made = super()._create_access_token(expires, request, token, source_refresh_token)
        issuer = request.headers[ISSUER]
        made.is_for_gateway = any(is_ours(each, issuer) for each in made.resource)
        if not made.is_for_gateway:
            AccessToken.objects.filter(pk=made.pk).update(is_for_gateway=False)
        return made

    def _create_refresh_token(
        self, request: Any, refresh_token_code: str, access_token: Any, previous: Any
    ) -> RefreshToken:
        """The first of a family that came from a code is of the code's family."""
        made = super()._create_refresh_token(request, refresh_token_code, access_token, previous)
        if previous is None and request.grant_type == "authorization_code":
            made.token_family = request.grant.family
            RefreshToken.objects.filter(pk=made.pk).update(token_family=made.token_family)
        return made

    def _check_and_set_request_resource(self, request: Any) -> None:
        """A token has an audience always: ChatVault, where no other is asked for (RFC 8707)."""
        super()._check_and_set_request_resource(request)
        issuer = request.headers[ISSUER]
        request.resource = request.resource or [issuer]
        for each in request.resource:
            if not is_ours(each, issuer) and not is_elsewhere(each):
                raise errors.CustomOAuth2Error(
                    error="invalid_target",
                    description="Tokens for this resource are not issued here.",
                    request=request,
                )

    def validate_refresh_token(
        self, refresh_token: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """As long as the person may still give what was given. A used one ends its family."""
        row = RefreshToken.objects.filter(token_checksum=digest(refresh_token)).first()
        if row is None or row.application_id != client.pk:
            return False  # nobody ends another application's tokens
        if row.revoked is not None:
            self._end_family(row.token_family, request, "a refresh token was used twice")
            return False
        if not super().validate_refresh_token(refresh_token, client, request):
            return False
        was = request.refresh_token_instance.access_token.scope.split()
        return bool(self._still_given(was, client, row.user))

    def get_original_scopes(
        self, refresh_token: str, request: Any, *args: Any, **kwargs: Any
    ) -> list[str]:
        was = request.refresh_token_instance.access_token.scope.split()
        return list(self._still_given(was, request.client, request.user))

    def validate_scopes(
        self, client_id: str, scopes: Any, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        is_right = super().validate_scopes(client_id, scopes, client, request)
        return bool(scopes) and bool(is_right)

    def revoke_token(
        self, token: str, token_type_hint: str, request: Any, *args: Any, **kwargs: Any
    ) -> None:
        """RFC 7009, of the application's own tokens. Told to nobody whether there was one."""
        application = request.client
        held = {"token_checksum": digest(token), "application": application}
        is_live = (
            AccessToken.objects.filter(**held).exists()
            or RefreshToken.objects.filter(**held, revoked=None).exists()
        )
        with transaction.atomic():
            hold_writer()
            super().revoke_token(token, token_type_hint, request)
            if is_live:
                self._tell("oauth.revoked", application, "revoked by the application")

    def _still_given(self, asked: Any, application: Application, user: Any) -> tuple[str, ...]:
        if user is None or not user.is_active:
            return ()
        return scopes.narrowed(asked, application, principals.of_user(user))

    def _end_family(self, family: UUID | None, request: Any, why: str) -> None:
        with transaction.atomic():
            hold_writer()
            RefreshToken.revoke_family(family)
            self._tell("oauth.reuse_detected", request.client, why)
        log.warning("%s: all tokens of one consent were revoked", why)

    def _tell(self, action: str, application: Application, why: str) -> None:
        actor = acting.Actor("oauth", str(application), None, acting.current().address)
        trail.record(
            action,
            target=application,
            team_id=application.team_id,
            after={"why": why},
            actor=actor,
        )

    # OpenID Connect

    def validate_silent_login(self, request: Any) -> bool:
        return bool(request.headers.get(SIGNED_IN))

    def validate_silent_authorization(self, request: Any) -> bool:
        """Consent is asked for every time."""
        return False

    def get_oidc_issuer_endpoint(self, request: Any) -> str:
        return str(request.headers[ISSUER])

    def get_additional_claims(self) -> dict[str, Any]:  # type: ignore[override]
        """Without a request, as the toolkit takes them too: then they are in the metadata."""
        return {
            "name": lambda request: request.user.get_full_name() or request.user.get_username(),
            "preferred_username": lambda request: request.user.get_username(),
            "email": lambda request: request.user.email,
        }

    def finalize_id_token(
        self, id_token: dict[str, Any], token: Any, token_handler: Any, request: Any
    ) -> str:
        """Signed with the key that signs now; `typ` and audience tell it from an access token."""
        claims, _ = self.get_id_token_dictionary(token, token_handler, request)
        key = signing.signing_key()
        claims["aud"] = request.client.client_id
        grant = getattr(request, "grant", None)
        if grant is not None and grant.nonce:
            claims["nonce"] = grant.nonce
        if not key.algorithm.endswith("256"):
            id_token.pop("at_hash", None)  # it is made with SHA-256
        return jwt.encode(
            {**id_token, **claims},
            signing.private_of(key).reveal(),
            algorithm=key.algorithm,
            headers={"kid": key.kid},
        )

    def _load_id_token(self, token: str) -> None:
        """None is kept."""

    def validate_id_token(self, token: str, scopes: Any, request: Any) -> bool:
        """It says who somebody is; it opens nothing."""
        return False
