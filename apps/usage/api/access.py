"""Who may ask for usage: whoever may read it, and machines for their own."""

from __future__ import annotations

from typing import Any

from apps.accounts.principals import Principal
from apps.accounts.roles import Capability
from apps.usage.reports.scopes import sees_only_itself


class OwnUsage:
    """A key needs no scope to see what it used itself."""

    request: Any

    @property
    def capabilities(self) -> dict[str, Capability]:
        who = getattr(getattr(self, "request", None), "user", None)
        if isinstance(who, Principal) and sees_only_itself(who):
            return dict.fromkeys(self.methods_for_all, Capability.INFERENCE)
        return dict.fromkeys(self.methods_for_all, Capability.USAGE_READ)

    methods_for_all: tuple[str, ...] = ("GET",)
