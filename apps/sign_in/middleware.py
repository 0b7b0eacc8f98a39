"""What holds on every page for whoever is signed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import resolve, reverse
from django.utils.http import urlencode

from apps.sign_in import dangerous, second_factor
from apps.sign_in.sessions import SessionStore

Answer = Callable[[HttpRequest], HttpResponse]
_WHILE_ENROLLING: Final = frozenset(
    {
        "account_login", "account_logout", "account_reauthenticate", "mfa_reauthenticate",
        "mfa_index", "mfa_activate_totp", "mfa_add_webauthn", "mfa_view_recovery_codes",
        "logout", "sign_in_account",
    }
)  # fmt: skip


def held_to_its_session(answer: Answer) -> Answer:
    """Notes that the session is in use; a second factor that is missing is set up before anything
    else; what is dangerous asks again who one is. After the session and the person are known."""

    def middleware(request: HttpRequest) -> HttpResponse:
        session = request.session
        if not request.user.is_authenticated or not isinstance(session, SessionStore):
            return answer(request)
        session.touch(request.META.get("REMOTE_ADDR") or None)
        name = _name_of(request)
        if name not in _WHILE_ENROLLING and second_factor.must_enrol(request.user):
            return _enrol_first(request)
        if dangerous.asks_again(request, name):
            path = request.get_full_path() if request.method == "GET" else _back(request)
            return redirect(f"{reverse('sign_in_again')}?{urlencode({'next': path})}")
        return answer(request)

    return middleware


def _name_of(request: HttpRequest) -> str:
    from django.urls import Resolver404

    try:
        return resolve(request.path_info).url_name or ""
    except Resolver404:
        return ""


def _back(request: HttpRequest) -> str:
    """To the form that was posted; what was typed into it is not kept, it may be secret."""
    return request.path


def _enrol_first(request: HttpRequest) -> HttpResponse:
    if request.path_info.startswith(("/api/", "/v1/")):
        from chatvault.lib.errors import Forbidden

        refusal = Forbidden("Set up a second factor in the admin first: this installation asks it.")
        return JsonResponse(refusal.openai(), status=refusal.http_status)
    return redirect("mfa_index")
