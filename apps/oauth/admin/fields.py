"""What the forms of applications and of initial access tokens share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from apps.accounts.models import Client
from apps.accounts.principals import Principal
from apps.oauth import scopes, services


class ScopesField(forms.MultipleChoiceField):
    """One box a scope, in words."""

    widget = UnfoldAdminCheckboxSelectMultipleWidget

    def __init__(self, help_text: str) -> None:
        super().__init__(choices=scopes.choices, help_text=help_text)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return set(initial or ()) != set(data or ())

    def clean(self, value: Any) -> list[str]:
        chosen = set(super().clean(value))
        return [each for each in scopes.ORDER if each in chosen]


def refuse_too_wide(
    form: Any, who: Principal, chosen: Iterable[str], payer: Client | None, known: Iterable[str]
) -> None:
    """Nobody lets an application do more than they may do themselves; what it may do already is
    left to it."""
    added = set(chosen) - set(known)
    if payer is None or not added:
        return
    try:
        services.check_scopes(who, sorted(added), payer)
    except ValidationError as refused:
        form.add_error("scopes", refused.message_dict["scopes"])
