"""Forms of signing in, in the look of the admin. What is wrong is never said more precisely than
that it did not work."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import LoginForm, ReauthenticateForm
from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.base.forms import ReauthenticateForm as CodeReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.forms import AuthenticateWebAuthnForm, ReauthenticateWebAuthnForm
from allauth.mfa.webauthn.internal import auth as webauthn
from django import forms
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from apps.sign_in import attempt, codes
from apps.sign_in.adapter import UNIFORM_CODE


def dress(form: forms.BaseForm) -> None:
    """The admin's widgets instead of plain ones."""
    for field in form.fields.values():
        widget = field.widget
        if isinstance(widget, forms.HiddenInput):
            continue
        attrs = {name: value for name, value in widget.attrs.items() if name != "placeholder"}
        if isinstance(widget, forms.PasswordInput):
            field.widget = UnfoldAdminPasswordWidget(attrs=attrs)
        elif isinstance(widget, forms.TextInput):
            field.widget = UnfoldAdminTextInputWidget(attrs=attrs)


class SignInForm(LoginForm):
    """`username` is what the field was always called here."""

    fields: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        login = self.fields.pop("login")
        login.label = "User name or e-mail"
        login.max_length = 254
        self.fields = {"username": login, **self.fields}
        self.fields["username"].widget.attrs.update(autocomplete="username", autofocus=True)
        self.fields["password"].help_text = ""
        dress(self)

    def clean_username(self) -> str:
        name: str = self.cleaned_data["username"].strip()
        self.cleaned_data["login"] = name
        return name


class AgainForm(ReauthenticateForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self)


class CodeForm(AuthenticateForm):
    """A code of the authenticator app, which works once, or a recovery code."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        code = self.fields["code"]
        code.label = "Code"
        code.widget.attrs.update(autofocus=True, inputmode="numeric", maxlength=20)
        dress(self)

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"]
        found = attempt.by_second_factor(
            user=self.user,
            address=attempt.address_of(context.request),
            prove=lambda: codes.use(self.user, code),
        )
        if found is None:
            raise forms.ValidationError(UNIFORM_CODE)
        self.authenticator = found
        return code


class CodeAgainForm(CodeForm, CodeReauthenticateForm):
    """The same of somebody who is signed in."""

    save = CodeReauthenticateForm.save


class _CountedKey:
    user: Any
    cleaned_data: dict[str, Any]

    def clean_credential(self) -> Authenticator:
        credential = self.cleaned_data["credential"]

        def prove() -> Authenticator | None:
            try:
                webauthn.parse_authentication_response(credential)
                return webauthn.complete_authentication(self.user, credential)
            except forms.ValidationError:
                return None

        found = attempt.by_second_factor(
            user=self.user, address=attempt.address_of(context.request), prove=prove
        )
        if found is None:
            raise forms.ValidationError("The security key did not prove that it is yours.")
        return found


class SecurityKeyForm(_CountedKey, AuthenticateWebAuthnForm):
    """A security key or passkey as second factor."""


class SecurityKeyAgainForm(_CountedKey, ReauthenticateWebAuthnForm):
    """The same of somebody who is signed in."""
