"""Which application calls an endpoint of ours, by the secret that it shows."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_plus

from django.http import HttpRequest
from oauthlib.common import Request as OAuthlibRequest

from apps.oauth.core import Core
from apps.oauth.models import Application
from apps.oauth.validator import Validator


def authenticated(request: HttpRequest) -> Application | None:
    """A confidential application that showed its secret (RFC 6749 §2.3.1); else nobody."""
    uri, method, body, headers = Core()._extract_params(request)
    asked = OAuthlibRequest(uri, method, body, headers)
    is_right = Validator().authenticate_client(asked)
    application: Application | None = asked.client if is_right else None
    if application is None or application.client_type != Application.CLIENT_CONFIDENTIAL:
        return None
    return application


def named(request: HttpRequest) -> str:
    """The client id that a request names, which nothing has proved; "" for none."""
    kind, _, encoded = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            text = base64.b64decode(encoded, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            return ""
        return unquote_plus(text.partition(":")[0])[:255]
    return (request.POST.get("client_id") or request.GET.get("client_id") or "")[:255]
