"""Django's and allauth's settings about people who sign in."""

from __future__ import annotations

from typing import Any

from chatvault.settings.sign_in import SignInSettings


def as_django(sign_in: SignInSettings) -> dict[str, Any]:
    """Nobody signs up by themselves; who failed too often is told so by our own count, which all
    processes share (allauth's is in a cache)."""
    return {
        "AUTHENTICATION_BACKENDS": ["apps.sign_in.backend.PasswordBackend"],
        "SESSION_ENGINE": "apps.sign_in.sessions",
        "SESSION_COOKIE_AGE": round(sign_in.session_life_h * 3600),
        "ACCOUNT_ADAPTER": "apps.sign_in.adapter.AccountAdapter",
        "ACCOUNT_LOGIN_METHODS": {"username"},
        "ACCOUNT_SIGNUP_FIELDS": ["username*", "password1*", "password2*"],
        "ACCOUNT_EMAIL_VERIFICATION": "none",
        "ACCOUNT_SESSION_REMEMBER": True,
        "ACCOUNT_RATE_LIMITS": False,
        "ACCOUNT_LOGOUT_REDIRECT_URL": "account_login",
        "ACCOUNT_LOGOUT_ON_GET": False,
        "ACCOUNT_REAUTHENTICATION_TIMEOUT": round(sign_in.reauthenticate_after_min * 60),
        "ACCOUNT_EMAIL_SUBJECT_PREFIX": "",
        "ACCOUNT_FORMS": {
            "login": "apps.sign_in.forms.SignInForm",
            "reauthenticate": "apps.sign_in.forms.AgainForm",
        },
        "ACCOUNT_PREVENT_ENUMERATION": True,
        "MFA_ADAPTER": "apps.sign_in.adapter.SecondFactorAdapter",
        "MFA_SUPPORTED_TYPES": ["totp", "webauthn", "recovery_codes"],
        "MFA_RATE_LIMITS": False,
        "MFA_TOTP_ISSUER": "ChatVault",
        "MFA_TOTP_TOLERANCE": 1,
        "MFA_RECOVERY_CODES_SHOW_ONCE": True,
        "MFA_FORMS": {
            "authenticate": "apps.sign_in.forms.CodeForm",
            "reauthenticate": "apps.sign_in.forms.CodeAgainForm",
            "authenticate_webauthn": "apps.sign_in.forms.SecurityKeyForm",
            "reauthenticate_webauthn": "apps.sign_in.forms.SecurityKeyAgainForm",
        },
    }
