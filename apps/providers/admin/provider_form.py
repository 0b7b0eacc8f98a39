"""A provider's form: the family by its description, an address that the guard would take."""

from __future__ import annotations

import ipaddress
from typing import Any, Final

from django import forms
from django.conf import settings
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from apps.providers.adapters.openai.options import VENDORS
from apps.providers.adapters.registry import FAMILIES, find_option_error
from apps.providers.models import Provider
from chatvault.lib.errors import UpstreamForbidden
from chatvault.lib.http_guard import DEFAULT_PORTS, AddressGuard, Target, is_public, parse_target

USUAL_URLS: Final = {
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com/v1beta",
}
WITHOUT_URL: Final = ("demo", "litellm")
_LOCAL_ENDINGS: Final = (".local", ".internal", ".localhost", ".lan", ".home.arpa")


class OptionsField(forms.JSONField):
    def prepare_value(self, value: Any) -> Any:
        """No options are an empty box."""
        return super().prepare_value(value) if value else ""


class ProviderForm(forms.ModelForm):
    family = forms.ChoiceField(
        choices=[
            ("", "Choose the protocol that it speaks"),
            *((name, f"{name} – {description}") for name, description in FAMILIES.items()),
        ],
        widget=UnfoldAdminSelectWidget,
        help_text="openai fits every API that calls itself OpenAI-compatible.",
    )
    options = OptionsField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"}),
        help_text='Differences of the vendor as JSON, such as {"vendor": "mistral"} or '
        '{"api_version": "2024-10-21"} for Azure. Usually nothing: well-known vendors are '
        "recognised by the base URL.",
    )

    class Meta:
        model = Provider
        fields = (
            "name",
            "family",
            "base_url",
            "options",
            "connect_timeout_s",
            "first_byte_timeout_s",
            "is_active",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        upstream = settings.CHATVAULT.upstream
        self._label("base_url", "Base URL")
        self._label("connect_timeout_s", "Connect timeout (seconds)")
        self._label("first_byte_timeout_s", "First byte timeout (seconds)")
        self._explain("name", "Short name, such as openai or ollama-gpu2.")
        self._explain(
            "base_url",
            "Where its API begins, such as https://api.openai.com/v1; empty: the usual one of "
            "the family. A private address must also be listed in CHATVAULT_PRIVATE_HOSTS. A new "
            "host or port removes the stored secrets, unless you enter them again in this form.",
        )
        self._explain(
            "connect_timeout_s",
            f"Seconds for name resolution, TCP and TLS. Empty: {upstream.connect_timeout_s:g}.",
        )
        self._explain(
            "first_byte_timeout_s",
            "Seconds from the sent request to the first byte of the answer. Empty: "
            f"{upstream.first_byte_timeout_s:g}.",
        )
        self._explain("is_active", "An inactive provider gets no requests.")

    def _label(self, name: str, text: str) -> None:
        if name in self.fields:
            self.fields[name].label = text

    def _explain(self, name: str, text: str) -> None:
        if name in self.fields:
            self.fields[name].help_text = text

    def clean_options(self) -> dict[str, Any]:
        options = self.cleaned_data["options"]
        if options is None:
            return {}
        if not isinstance(options, dict):
            raise forms.ValidationError('This must be a JSON object: {"name": value}.')
        return options

    def clean_base_url(self) -> str:
        url: str = self.cleaned_data["base_url"].strip()
        if url:
            try:
                target = parse_target(url)
            except UpstreamForbidden as forbidden:
                raise forms.ValidationError(
                    f"{forbidden.message} Write https://host/path."
                ) from None
            if "?" in target.path:
                raise forms.ValidationError("A base URL has no question mark in it.")
        return url

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        family, options = cleaned.get("family"), cleaned.get("options")
        if not family or options is None:
            return cleaned
        if problem := find_option_error(family, options):
            self.add_error("options", f"{problem}. See the family's options.")
            return cleaned
        if not cleaned.get("base_url") and "base_url" in cleaned and family not in WITHOUT_URL:
            usual = usual_url(family, options)
            if not usual:
                self.add_error("base_url", "This family has no usual address: enter it.")
            cleaned["base_url"] = usual
        return cleaned


def usual_url(family: str, options: dict[str, Any]) -> str:
    """The family's own address, or the vendor's; empty when there is none."""
    if family == "openai":
        return VENDORS[str(options.get("vendor") or "openai")].base_url
    return USUAL_URLS.get(family, "")


def private_warning(base_url: str) -> str:
    """Why the gateway would not call this address as things are, and how to allow it; empty for
    one that it would, as far as can be told without asking DNS."""
    if not base_url:
        return ""
    target = parse_target(base_url)
    listed = AddressGuard(settings.CHATVAULT.upstream.private_hosts)
    if listed.is_listed(target.host, target.port):
        return ""
    if _is_private(target):
        return f"{target.host} is a private address. {_allowed_by(target)}"
    if DEFAULT_PORTS[target.scheme] != target.port:
        return (
            f"Port {target.port} is not the usual one of {target.scheme}, so it is not called. "
            f"{_allowed_by(target)}"
        )
    return ""


def why_forbidden(base_url: str) -> str:
    """The same of an address that the gateway did refuse, such as a public name of a private
    address; empty for a URL that names none."""
    try:
        known = private_warning(base_url)
        target = parse_target(base_url)
    except UpstreamForbidden:
        return ""
    return known or f"{target.host} has a private or reserved address. {_allowed_by(target)}"


def _allowed_by(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return (
        f"If it is yours, set CHATVAULT_PRIVATE_HOSTS={host}:{target.port} where ChatVault runs "
        "(several separated by commas) and restart it."
    )


def _is_private(target: Target) -> bool:
    try:
        return not is_public(ipaddress.ip_address(target.host))
    except ValueError:
        return "." not in target.host or target.host.endswith(_LOCAL_ENDINGS)
