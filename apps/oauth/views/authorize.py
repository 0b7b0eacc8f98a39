"""The authorization endpoint: a person reads what an application asks for, and allows it or not.

What is asked stands in the address, and is checked anew when the answer comes: the form holds the
decision alone, so that nothing in it can be changed on the way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth import logout
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from oauth2_provider.exceptions import FatalClientError, OAuthToolkitError
from oauth2_provider.http import OAuth2ResponseRedirect
from oauth2_provider.oauth2_backends import _add_iss_to_redirect
from oauth2_provider.views.base import AuthorizationView
from oauthlib.oauth2.rfc6749 import errors
from oauthlib.openid.connect.core.exceptions import ConsentRequired

from apps.accounts import permissions
from apps.accounts.throttle import Throttled
from apps.audit import trail
from apps.oauth import scopes
from apps.oauth.issuer import is_elsewhere, is_ours, issuer_of
from apps.oauth.models import Application
from apps.oauth.validator import S256
from apps.oauth.views.pages import guarded, page
from chatvault.lib import clock

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")  # SHA-256 in base64url (RFC 7636 §4.2)


@dataclass(frozen=True)
class Asked:
    """A request that is right, and what the person can give of it."""

    application: Application
    credentials: dict[str, Any]
    scopes: tuple[str, ...]
    given: tuple[str, ...]


class AuthorizeView(Throttled, AuthorizationView):
    throttle_group = "authorization"
    throttled_methods = ("GET", "POST")
    http_method_names = ["get", "post", "head", "options"]

    def throttle_account(self, request: HttpRequest) -> str | None:
        return f"user:{request.user.pk}" if request.user.is_authenticated else None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return guarded_redirect(super().dispatch(request, *args, **kwargs))

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            asked = self._asked(request)
        except OAuthToolkitError as error:
            return self.error_response(error, None)
        if self._must_sign_in_again(request):
            logout(request)
            return self.handle_prompt_login()
        return self._page(request, asked)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            asked = self._asked(request)
            is_allowed = request.POST.get("decision") == "allow" and bool(asked.given)
            with transaction.atomic():
                uri, *_ = self.create_authorization_response(
                    request=request,
                    scopes=" ".join(asked.given),
                    credentials=asked.credentials,
                    allow=is_allowed,
                )
                _tell("oauth.allowed", asked, asked.given)
        except OAuthToolkitError as error:
            return self.error_response(error, None)
        return self.redirect(uri, asked.application)

    def _asked(self, request: HttpRequest) -> Asked:
        """Raises OAuthToolkitError, fatal as long as it is not known where to go back to."""
        wanted, credentials = self.validate_authorization_request(request)
        application = Application.objects.select_related("payer__team").get(
            client_id=credentials["client_id"]
        )
        if isinstance(credentials.get("ui_locales"), list):
            credentials["ui_locales"] = " ".join(credentials["ui_locales"])
        credentials["resource"] = request.GET.getlist("resource")
        self._check(request, credentials)
        who = permissions.principal_of(request.user)
        given = scopes.narrowed(wanted, application, who)
        if not set(given) - set(scopes.IDENTITY) and set(wanted) - set(scopes.IDENTITY):
            given = ()  # who they are alone is not what was asked for
        return Asked(application, credentials, tuple(wanted), given)

    def _check(self, request: HttpRequest, credentials: dict[str, Any]) -> None:
        """PKCE with S256 (RFC 9700 §2.1.1), a resource of ours (RFC 8707 §2), no silent consent."""
        problem: Any = None
        challenge = credentials.get("code_challenge") or ""
        if credentials.get("code_challenge_method") != S256 or not _CHALLENGE.fullmatch(challenge):
            problem = errors.InvalidRequestError(
                "Send a code_challenge of 43 characters, with code_challenge_method S256."
            )
        issuer = issuer_of(request)
        for resource in credentials["resource"]:
            if not is_ours(resource, issuer) and not is_elsewhere(resource):
                problem = errors.CustomOAuth2Error(
                    error="invalid_target",
                    description="Tokens for this resource are not issued here.",
                )
        if "none" in request.GET.get("prompt", "").split():
            problem = ConsentRequired()
        if problem is not None:
            problem.state = credentials.get("state")
            raise OAuthToolkitError(problem, redirect_uri=credentials["redirect_uri"])

    def _must_sign_in_again(self, request: HttpRequest) -> bool:
        """OpenID Connect Core §3.1.2.1: prompt=login, or a sign-in that is older than max_age."""
        if "login" in request.GET.get("prompt", "").split():
            return True
        longest = request.GET.get("max_age", "")
        if not longest.isdigit() or len(longest) > 9:
            return False
        last = getattr(request.user, "last_login", None)
        return last is None or (clock.now() - last).total_seconds() > max(int(longest), 10)

    def handle_prompt_login(self) -> HttpResponse:
        """As the toolkit does; signing in answers a `max_age` as well."""
        query = self.request.GET.copy()
        query["prompt"] = "login"
        query.pop("max_age", None)
        self.request.META["QUERY_STRING"] = query.urlencode()
        return super().handle_prompt_login()

    def _page(self, request: HttpRequest, asked: Asked, status: int = 200) -> HttpResponse:
        application = asked.application
        identity = [one for one in asked.given if one in scopes.IDENTITY]
        return page(
            request,
            "authorize",
            {
                "application": application,
                "payer": application.payer,
                "team": application.payer.team,
                "identity": [scopes.in_words(one) for one in identity],
                "powers": [scopes.in_words(one) for one in asked.given if one not in identity],
                "withheld": [
                    scopes.in_words(one) for one in asked.scopes if one not in asked.given
                ],
                "returns_to": asked.credentials["redirect_uri"],
                "calls_models": "inference" in asked.given or "admin" in asked.given,
            },
            status=status if asked.given else 403,
            then_to=[asked.credentials["redirect_uri"]],
        )

    def error_response(  # type: ignore[override]
        self, error: Any, application: Any, **kwargs: Any
    ) -> HttpResponse:
        """Back to the application with what is wrong, or a page where nobody is to go back to."""
        told = error.oauthlib_error
        if isinstance(error, FatalClientError) or not told.redirect_uri:
            context = {"error": told.error, "description": told.description or ""}
            return page(self.request, "error", context, status=told.status_code or 400)
        separator = "&" if "?" in told.redirect_uri else "?"
        return self.redirect(told.redirect_uri + separator + told.urlencoded, application)

    def redirect(self, redirect_to: str, application: Any) -> HttpResponse:
        """With `iss` always, errors included (RFC 9207 §2); 303, so that nothing that was posted
        here is posted there (RFC 9700 §4.12)."""
        uri = _add_iss_to_redirect(redirect_to, issuer_of(self.request))
        response: HttpResponse = OAuth2ResponseRedirect(uri, ["https", "http"])
        response.status_code = 303 if self.request.method == "POST" else 302
        return response


def guarded_redirect(response: HttpResponseBase) -> HttpResponseBase:
    if isinstance(response, HttpResponse) and "Content-Security-Policy" not in response:
        guarded(response)
    return response


def _tell(action: str, asked: Asked, given: tuple[str, ...]) -> None:
    trail.record(
        action,
        target=asked.application,
        team_id=asked.application.team_id,
        after={"scopes": list(given), "client": asked.application.payer.name},
    )
