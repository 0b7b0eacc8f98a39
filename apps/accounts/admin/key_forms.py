"""The forms of keys: one key, the questions of actions on many, the import of digests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
)

from apps.accounts import errors, grants, key_fields, key_import
from apps.accounts.models import ApiKey, Client
from apps.accounts.principals import Principal
from apps.accounts.roles import MACHINE_SCOPES, MEANINGS, Capability, of_scopes
from chatvault.lib import clock

ADMIN_MEANING: Final = "All that an admin of the key's team may do, short of OAuth applications"


def scope_choices(who: Principal | None, kept: list[str]) -> list[tuple[str, str]]:
    """Scopes that somebody may give, and those that the key has already."""
    return [
        (name, f"{name}: {_meaning(name)}")
        for name in sorted(MACHINE_SCOPES, key=lambda name: (name != "inference", name))
        if name in kept or who is None or all(who.may_somewhere(c) for c in of_scopes([name]))
    ]


def _meaning(scope: str) -> str:
    return MEANINGS[Capability(scope)] if scope in set(Capability) else ADMIN_MEANING


class LinesField(forms.CharField):
    """One value a line, kept as JSON."""

    def __init__(self, *, rows: int = 3, placeholder: str = "", **kwargs: Any) -> None:
        attrs = {"rows": rows, "placeholder": placeholder}
        widget = UnfoldAdminTextareaWidget(attrs=attrs)
        super().__init__(**{"required": False, "widget": widget} | kwargs)

    def lines(self, value: Any) -> list[str]:
        text = forms.CharField.to_python(self, value) or ""
        return [line.strip() for line in text.replace(",", "\n").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool((initial or self.empty()) != self.to_python(data))
        except forms.ValidationError:
            return True

    def empty(self) -> Any:
        return []

    def checked(self, read: Callable[[Any], Any], given: Any) -> Any:
        try:
            return read(given)
        except errors.FieldWrong as wrong:
            raise forms.ValidationError(str(wrong)) from None


class NetworksField(LinesField):
    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return self.checked(key_fields.read_networks, self.lines(value))


class LabelsField(LinesField):
    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return "\n".join(f"{name}={text}" for name, text in value.items())

    def lines(self, value: Any) -> list[str]:
        text = forms.CharField.to_python(self, value) or ""
        return [line.strip() for line in text.splitlines() if line.strip()]

    def to_python(self, value: Any) -> Any:
        pairs = [line.partition("=") for line in self.lines(value)]
        if any(not sign for _, sign, _ in pairs):
            raise forms.ValidationError("Write one label a line, as name=value.")
        names = [name.strip() for name, _, _ in pairs]
        if len(set(names)) != len(names):
            raise forms.ValidationError("A label is here twice. Write each name once.")
        given = {name.strip(): text.strip() for name, _, text in pairs}
        return self.checked(key_fields.read_labels, given)

    def empty(self) -> Any:
        return {}


class KeyForm(forms.ModelForm):
    who: Principal | None = None
    scopes = forms.MultipleChoiceField(
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        initial=["inference"],
        help_text="What the key may do. Calls to models need inference alone; the others open "
        "parts of the management API for the key's own team. You can give what you have yourself.",
    )
    networks = NetworksField(
        placeholder="203.0.113.7\n10.0.0.0/8",
        help_text="Addresses or networks (CIDR, IPv4 or IPv6) from which the key may be used, one "
        "a line, such as 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32. Empty: from anywhere.",
    )
    labels = LabelsField(
        placeholder="owner=data-platform\nticket=OPS-1742",
        help_text="Names with values to find keys by, one a line, such as owner=data-platform. "
        "At most 32; they are shown, so they hold no secrets.",
    )

    class Meta:
        labels = {"aliases": "Models"}
        help_texts = {
            "client": "The application that will use the key; it pays for it.",
            "aliases": "Narrows what the client may use; type to find one. "
            "Empty: all of the client's models.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "scopes" in self.fields:
            kept = list(self.instance.scopes) if self.instance.pk else []
            offered: Any = self.fields["scopes"]
            offered.choices = scope_choices(self.who, kept)
        if "expires_at" in self.fields:
            in_90_days = clock.now() + timedelta(days=90)
            self.fields["expires_at"].help_text = (
                "From then on the key is refused. Empty: it never expires. "
                f"In 90 days is {in_90_days:%Y-%m-%d}."
            )

    def clean_scopes(self) -> list[str]:
        return key_fields.read_scopes(self.cleaned_data["scopes"])

    def clean_expires_at(self) -> Any:
        moment = self.cleaned_data["expires_at"]
        if moment and "expires_at" in self.changed_data and moment <= clock.now():
            raise forms.ValidationError(
                "This moment has passed. Choose a later one, or disable or revoke the key."
            )
        return moment

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        client = cleaned.get("client") or getattr(self.instance, "client", None)
        if client is None:
            return cleaned
        taken = ApiKey.objects.filter(client=client, name=cleaned.get("name", ""))
        if taken.exclude(pk=self.instance.pk).exists():
            self.add_error("name", f"{client} has a key of this name. Choose another one.")
        try:
            grants.check_aliases(client, list(cleaned.get("aliases") or ()))
            if self.who is not None and {"scopes", "client"} & set(self.changed_data):
                grants.check_scopes(self.who, cleaned.get("scopes") or (), client.team_id)
        except errors.GrantExceeded as exceeded:
            self.add_error(exceeded.field, str(exceeded))
        return cleaned


class GraceForm(forms.Form):
    grace_h = forms.IntegerField(
        label="Grace (hours)",
        min_value=0,
        max_value=365 * 24,
        initial=168,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text="How long the old key goes on working beside the new one: 24 is a day, 168 a "
        "week. 0: the old key is revoked at once.",
    )

    @property
    def grace(self) -> timedelta:
        return timedelta(hours=self.cleaned_data["grace_h"])


class ExtendForm(forms.Form):
    days = forms.IntegerField(
        min_value=1,
        max_value=3650,
        initial=90,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text="Keys that would end earlier end so many days from now, such as 90. Keys without "
        "an end, revoked keys and rotated keys whose grace has passed stay as they are.",
    )


class ImportForm(forms.Form):
    client = forms.ModelChoiceField(
        Client.objects.none(),
        required=False,
        widget=UnfoldAdminSelectWidget(),
        help_text="For rows that name no client.",
    )
    file = forms.FileField(
        required=False,
        widget=UnfoldAdminFileFieldWidget(),
        help_text="CSV or JSON, at most 2 MiB and 5000 keys.",
    )
    text = forms.CharField(
        label="Or paste the list",
        required=False,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 8}),
    )

    def __init__(self, *args: Any, clients: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered: Any = self.fields["client"]
        offered.queryset = clients

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        file, text = cleaned.get("file"), cleaned.get("text")
        if bool(file) == bool(text):
            raise forms.ValidationError("Choose a file or paste the list: one of the two.")
        if file:
            if file.size > key_import.MOST_BYTES:
                raise forms.ValidationError("The list is larger than 2 MiB. Import it in parts.")
            try:
                cleaned["text"] = file.read().decode("utf-8-sig")
            except UnicodeDecodeError:
                raise forms.ValidationError("The file is not text in UTF-8.") from None
        return cleaned
