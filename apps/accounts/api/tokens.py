"""JWTs by the API: obtain, refresh, verify, revoke, and the keys that check them."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts import jwt_sessions, principals, second_factor, signing
from apps.accounts.api.authentication import PersonAuthentication
from apps.accounts.api.fields import StrictSerializer
from apps.accounts.models import Client, User
from apps.accounts.principals import Principal
from apps.accounts.roles import Capability
from apps.accounts.throttle import EndpointThrottle
from apps.audit import acting, trail
from chatvault.lib.errors import InvalidField, Unauthenticated

_REFUSED = "The user name, the password or the code is wrong."


class ObtainSerializer(StrictSerializer):
    username = serializers.CharField(max_length=150, required=False)
    password = serializers.CharField(max_length=1024, required=False, write_only=True)
    code = serializers.CharField(
        max_length=64, required=False, write_only=True, help_text="Of the second factor."
    )
    client = serializers.CharField(
        max_length=100, required=False, help_text="Name of the client that pays for models."
    )
    scopes = serializers.ListField(
        child=serializers.CharField(max_length=64),
        required=False,
        max_length=64,
        help_text="What the tokens may do. Left out: all that the person may do.",
    )
    name = serializers.CharField(max_length=100, required=False, help_text="For the list.")


class RefreshSerializer(StrictSerializer):
    refresh = serializers.CharField(max_length=8192, write_only=True)


class TokenSerializer(StrictSerializer):
    token = serializers.CharField(max_length=8192, write_only=True)


class PairSerializer(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField()
    token_type = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds until the access token ends.")
    client = serializers.CharField(allow_null=True)
    scopes = serializers.ListField(child=serializers.CharField())


class HolderSerializer(serializers.Serializer[Any]):
    active = serializers.BooleanField()
    kind = serializers.CharField()
    name = serializers.CharField()
    client_id = serializers.IntegerField(allow_null=True)
    scopes = serializers.ListField(child=serializers.CharField())


class ObtainTokenView(APIView):
    """A person's first pair, by password (and second factor) or by the session of the admin."""

    authentication_classes = (PersonAuthentication,)
    permission_classes = (AllowAny,)
    throttle_classes = (EndpointThrottle,)
    throttle_group = "sign_in"

    def throttle_account(self, request: Request) -> str | None:
        data = request.data
        return str(data.get("username", "")) if isinstance(data, dict) else None

    @extend_schema(
        operation_id="obtainToken",
        summary="Obtain a pair of JWTs",
        tags=["Tokens"],
        request=ObtainSerializer,
        responses={200: PairSerializer, 401: OpenApiResponse(description="Refused.")},
    )
    def post(self, request: Request) -> Response:
        query = ObtainSerializer(data=request.data)
        query.is_valid(raise_exception=True)
        given = query.validated_data
        user = _person(request, given)
        address = request.META.get("REMOTE_ADDR") or None
        with acting.acting(principals.of_user(user).as_actor(address)):
            pair = jwt_sessions.begin(
                user=user,
                client=_client(given.get("client"), principals.of_user(user)),
                scopes=given.get("scopes", ()),
                name=given.get("name", ""),
            )
        return _answer(pair)


class RefreshTokenView(APIView):
    changes_nothing = True  # a session goes on: no event
    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (EndpointThrottle,)
    throttle_group = "token"

    @extend_schema(
        operation_id="refreshToken",
        summary="Exchange a refresh token for the next pair; each works once",
        tags=["Tokens"],
        request=RefreshSerializer,
        responses={200: PairSerializer, 401: OpenApiResponse(description="Refused.")},
    )
    def post(self, request: Request) -> Response:
        query = RefreshSerializer(data=request.data)
        query.is_valid(raise_exception=True)
        return _answer(jwt_sessions.refresh(token=query.validated_data["refresh"]))


class VerifyTokenView(APIView):
    """Whether the credential of this request is good, and what it may do."""

    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="verifyToken",
        summary="Tell what the credential of this request is and may do",
        tags=["Tokens"],
        responses={200: HolderSerializer, 401: OpenApiResponse(description="Refused.")},
    )
    def get(self, request: Request) -> Response:
        who = request.user
        if not isinstance(who, Principal):
            raise Unauthenticated
        scopes = sorted(each.value for each in Capability if who.may_somewhere(each))
        return _private(
            {
                "active": True,
                "kind": who.kind,
                "name": who.name,
                "client_id": who.client_id,
                "scopes": scopes,
            }
        )


class RevokeTokenView(APIView):
    """Ends the session of a token. Whoever has the token may; the answer tells nothing."""

    changes_nothing = True
    changes_nothing = True  # what the service ends, it records
    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (EndpointThrottle,)
    throttle_group = "token"

    @extend_schema(
        operation_id="revokeToken",
        summary="End the session of an access or refresh token",
        tags=["Tokens"],
        request=TokenSerializer,
        responses={204: None},
    )
    def post(self, request: Request) -> Response:
        query = TokenSerializer(data=request.data)
        query.is_valid(raise_exception=True)
        jwt_sessions.revoke_token(token=query.validated_data["token"])
        return Response(status=204)


class JwksView(APIView):
    """The public keys of our tokens (RFC 7517)."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="listSigningKeys",
        summary="Public keys that check ChatVault's JWTs, as a JWK set",
        tags=["Tokens"],
        responses={200: OpenApiResponse(description="A JWK set.")},
    )
    def get(self, request: Request) -> Response:
        return Response(signing.jwks(), headers={"Cache-Control": "public, max-age=300"})


def _person(request: Request, given: dict[str, Any]) -> User:
    """By session, else by password; whatever is wrong is told in the same words."""
    who = request.user
    if isinstance(who, Principal) and who.user_id is not None and "username" not in given:
        return User.objects.get(pk=who.user_id)
    if "username" not in given or "password" not in given:
        raise InvalidField("Give `username` and `password`.", param="username")
    found = authenticate(request._request, username=given["username"], password=given["password"])
    if found is None or not second_factor.is_right(found, given.get("code", "")):
        trail.record("jwt.refused", after={"username": given["username"]})
        raise Unauthenticated(_REFUSED)
    return found


def _client(name: str | None, who: Principal) -> Client | None:
    """One that the person may call models for; any other one does not exist for them."""
    if name is None:
        return None
    client = Client.objects.filter(name=name).first()
    if client is None or not who.may(Capability.INFERENCE, client.team_id):
        raise InvalidField(f"You have no client named {name!r}.", param="client")
    return client


def _answer(pair: jwt_sessions.Pair) -> Response:
    client = pair.session.client
    return _private(
        {
            "access": pair.access.reveal(),
            "refresh": pair.refresh.reveal(),
            "token_type": "Bearer",
            "expires_in": pair.expires_in_s,
            "client": client.name if client else None,
            "scopes": pair.session.scopes,
        }
    )


def _private(body: dict[str, Any]) -> Response:
    return Response(body, headers={"Cache-Control": "private, no-store"})
