"""What allauth asks of us."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from django.contrib.auth import authenticate as django_authenticate
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from apps.accounts.models import User
from apps.audit import trail
from apps.audit.acting import Actor
from apps.providers.secrets import SecretContext
from apps.providers.services import vault
from apps.sign_in import attempt, sessions
from chatvault.lib import clock

UNIFORM: Final = (
    "Please enter the correct name and password. After several failures you have to wait a "
    "little before they are looked at again."
)
UNIFORM_CODE: Final = (
    "Please enter a correct code that was not used before. After several failures you have to "
    "wait a little before codes are looked at again."
)
owner: ContextVar[int | None] = ContextVar("owner_of_second_factor", default=None)
_SILENT: Final = frozenset({"account/messages/logged_in.txt", "account/messages/logged_out.txt"})


class AccountAdapter(DefaultAccountAdapter):
    """Nobody signs up by themselves; passwords are tried in `attempt`."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": UNIFORM,
        "too_many_login_attempts": UNIFORM,
        "incorrect_password": UNIFORM,
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        found = django_authenticate(request, **credentials)
        return found if isinstance(found, User) else None

    def reauthenticate(self, user: User, password: str) -> bool:
        found = self.authenticate(context.request, username=user.get_username(), password=password)
        return found is not None and found.pk == user.pk

    @transaction.atomic
    def login(self, request: HttpRequest, user: User) -> None:
        """The session gets a new key and a new beginning."""
        super().login(request, user)
        session = request.session
        session[sessions.STARTED] = clock.now().timestamp()
        session[sessions.ADDRESS] = attempt.address_of(request)
        session[sessions.BROWSER] = request.META.get("HTTP_USER_AGENT", "")[:500]
        session.setdefault(sessions.WAY, "password")
        who = Actor("person", user.get_username(), user.pk, attempt.address_of(request))
        trail.record("sign_in.succeeded", target=user, after=_how(session), actor=who)

    @transaction.atomic
    def logout(self, request: HttpRequest) -> None:
        """The end of a session is in the trail as its beginning is."""
        if isinstance(request.user, User):
            trail.record("sign_in.ended", target=request.user)
        super().logout(request)

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Not of who signed in a moment ago, as everywhere else."""
        from apps.sign_in import dangerous

        return dangerous.is_stale(context.request)

    def get_client_ip(self, request: HttpRequest) -> str:
        return attempt.address_of(request) or "0.0.0.0"  # noqa: S104 – nobody's, not to listen on

    def add_message(
        self, request: HttpRequest, level: int, message_template: str | None = None, *args: Any,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        if message_template not in _SILENT:
            super().add_message(request, level, message_template, *args, **kwargs)

    def respond_user_inactive(self, request: HttpRequest, user: Any) -> HttpResponse:
        from django.shortcuts import redirect

        return redirect("account_login")


class SecondFactorAdapter(DefaultMFAAdapter):
    """Seeds are sealed for the person whose they are."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": UNIFORM_CODE,
    }

    def encrypt(self, text: str) -> str:
        return vault().seal(text, _context())

    def decrypt(self, encrypted_text: str) -> str:
        return vault().open(encrypted_text, _context()).reveal()

    def get_totp_issuer(self) -> str:
        return f"ChatVault {super()._get_site_name()}"

    def _get_site_name(self) -> str:
        return "ChatVault"

    def get_totp_label(self, user: Any) -> str:
        return str(user.get_username())

    def can_delete_authenticator(self, authenticator: Any) -> bool:
        return True


def _context() -> SecretContext:
    user_id = owner.get()
    if user_id is None:
        user_id = context.request.user.pk
    return SecretContext("second-factor", "mfa.authenticator", f"user:{user_id}", "secret", "")


def _how(session: Any) -> dict[str, str]:
    return {"with": str(session.get(sessions.WAY, "")), "device": _device(session)}


def _device(session: Any) -> str:
    from apps.sign_in.devices import device_of

    return device_of(str(session.get(sessions.BROWSER) or ""))
