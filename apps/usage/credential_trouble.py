"""Which deployments' credentials a provider refuses, from the error groups: since when, how often.

A provider's 401 or 403 disables nothing, for it may pass; it is told wherever somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode

from apps.providers.models import Deployment
from apps.usage.error_review import CREDENTIAL_REFUSED
from apps.usage.figures import count_text, instant_text
from apps.usage.models import ErrorGroup


class Trouble(msgspec.Struct):
    """One deployment whose credential is refused. It ends when it answers again, or when somebody
    says that it is resolved."""

    deployment_id: int
    name: str
    since: datetime
    last: datetime
    count: int

    @property
    def text(self) -> str:
        return (
            f"{self.name}: the provider has refused its credential since "
            f"{instant_text(self.since)} ({count_text(self.count)} calls, the last at "
            f"{instant_text(self.last)})"
        )

    @property
    def link(self) -> str:
        query: dict[str, str | int] = {"deployment": self.deployment_id, "code": CREDENTIAL_REFUSED}
        return f"{reverse('admin:usage_errorgroup_changelist')}?{urlencode(query)}"


def troubles(deployment_ids: Iterable[int] | None = None) -> list[Trouble]:
    """Those of these deployments, or all; the oldest first. One query."""
    groups = ErrorGroup.objects.filter(kind=ErrorGroup.Kind.ATTEMPT, code=CREDENTIAL_REFUSED)
    groups = groups.exclude(state=ErrorGroup.State.RESOLVED)
    if deployment_ids is not None:
        groups = groups.filter(deployment_id__in=list(deployment_ids))
    found: dict[int, Trouble] = {}
    for group in groups:
        since = group.began
        known = found.get(group.deployment_id)
        if known is None:
            name = group.deployment_name or f"deployment {group.deployment_id}"
            found[group.deployment_id] = Trouble(
                group.deployment_id, name, since, group.last_seen, group.count
            )
        else:
            known.since = min(known.since, since)
            known.last = max(known.last, group.last_seen)
            known.count += group.count
    return sorted(found.values(), key=lambda one: (one.since, one.deployment_id))


def notices(deployments: Sequence[Deployment]) -> list[str]:
    """For the pages of deployments, credentials and aliases."""
    return [
        format_html('<a class="underline" href="{}">{}.</a>', one.link, one.text)
        for one in troubles([each.pk for each in deployments])
    ]
