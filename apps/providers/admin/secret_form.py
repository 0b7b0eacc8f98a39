"""A credential's form: its secret goes in and never comes out again."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminPasswordWidget

from apps.providers import services
from apps.providers.errors import SecretRefused, VaultKeysInvalid
from apps.providers.models import Credential
from apps.providers.secrets import credential_context, is_sealed
from chatvault.lib.errors import UpstreamForbidden

_EXPLAINED = (
    "The provider's API key, which is encrypted and never shown again; or where it is found: "
    "env:NAME or file:/absolute/path. Leave it empty to keep the present one."
)


def state_of(credential: Credential) -> tuple[str, str]:
    """How the secret is kept, as a kind for a label and a text without the secret."""
    if problem := services.secret_problem(credential):
        return "missing", f"missing: {problem}"
    if is_sealed(credential.secret):
        return "sealed", "encrypted"
    return "reference", credential.secret


class CredentialForm(forms.ModelForm):
    new_secret = forms.CharField(
        label="Secret",
        required=False,
        strip=True,
        max_length=16_384,
        help_text=_EXPLAINED,
        widget=UnfoldAdminPasswordWidget(
            attrs={"autocomplete": "new-password", "spellcheck": "false"}, render_value=False
        ),
    )

    class Meta:
        model = Credential
        fields = ("provider", "name", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is not None and self.instance.secret:
            self.fields["new_secret"].widget.attrs["placeholder"] = "•••••••• (kept)"
        if "is_active" in self.fields:
            self.fields[
                "is_active"
            ].help_text = "Deployments with an inactive credential get no requests."

    def clean_new_secret(self) -> str:
        text: str = self.cleaned_data["new_secret"]
        if not text:
            if self.instance.pk is None:
                raise forms.ValidationError("Enter the secret, or env:NAME or file:PATH.")
            return ""
        try:
            services.check_secret(text)
            services.vault().seal(text, credential_context(0, ""))  # is there a key to seal with?
        except (SecretRefused, VaultKeysInvalid) as refused:
            raise forms.ValidationError(str(refused)) from None
        return text

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        provider = cleaned.get("provider") or getattr(self.instance, "provider", None)
        if provider is not None and cleaned.get("new_secret"):
            try:
                services.origin_of(provider)
            except UpstreamForbidden as forbidden:
                self.add_error("new_secret", f"First mend the provider's URL: {forbidden.message}")
        return cleaned

    def store(self) -> None:
        """Save the row with what was entered. Its provider must be saved already."""
        credential: Credential = self.instance
        if text := self.cleaned_data.get("new_secret"):
            services.set_credential_secret(credential=credential, secret=text)
        credential.save()
