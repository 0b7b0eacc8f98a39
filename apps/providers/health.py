"""Regular looks at deployments: do their providers answer, and how quickly?

A look asks for the provider's list of models, which is free, once for all deployments that share
a credential. Where there is no such list, or with CHATVAULT_UPSTREAM_PROBE_CALLS, the model itself
is asked for a word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db.models import Q

from apps.providers import probe, services
from apps.providers.adapters.contract import Endpoint
from apps.providers.adapters.registry import UnknownFamily
from apps.providers.errors import SecretProblem
from apps.providers.models import Deployment, Probe
from apps.providers.models.probe import newest
from chatvault.lib import clock
from chatvault.lib.errors import BadRequest, UpstreamError

KEPT: Final = timedelta(days=14)
YOUNG: Final = timedelta(seconds=60)
_AT_ONCE: Final = 8
_FREE_CALLS: Final = frozenset({"demo"})

Progress = Callable[[int, int], None]


@dataclass
class _Look:
    """One question to a provider, and whom the answer is about."""

    kind: Probe.Kind
    endpoint: Endpoint | None
    about: list[Deployment] = field(default_factory=list)
    finding: probe.Finding | None = None


def look(progress: Progress) -> int:
    """Probe every active deployment that was not probed in the last minute; returns how many.

    What was looked at before an interruption is young, so the next run goes on from there.
    """
    looks = _looks()
    total = sum(len(each.about) for each in looks)
    done = 0
    for start in range(0, len(looks), _AT_ONCE):
        progress(done, total)
        some = looks[start : start + _AT_ONCE]
        asyncio.run(_ask(some))
        Probe.objects.bulk_create([row for each in some for row in _rows(each)])
        done += sum(len(each.about) for each in some)
    progress(done, total)
    Probe.objects.filter(at__lt=clock.now() - KEPT).delete()
    return done


def _looks() -> list[_Look]:
    rows = (
        Deployment.objects.filter(is_active=True, provider__is_active=True)
        .filter(Q(credential=None) | Q(credential__is_active=True))
        .annotate(last=newest("at"))
        .filter(Q(last=None) | Q(last__lt=clock.now() - YOUNG))
        .select_related("provider", "credential__provider")
        .order_by("pk")
    )
    shared: dict[tuple[int, int | None], _Look] = {}
    looks: list[_Look] = []
    for row in rows:
        key = (row.provider_id, row.credential_id)
        if key in shared:
            shared[key].about.append(row)
            continue
        made = _look_at(row)
        if made is None:
            continue
        made.about.append(row)
        looks.append(made)
        if made.kind == Probe.Kind.LISTED:
            shared[key] = made
    return looks


def _look_at(row: Deployment) -> _Look | None:
    """None for a deployment that can only be asked for money, and must not be."""
    may_call = settings.CHATVAULT.upstream.probe_calls or row.provider.family in _FREE_CALLS
    try:
        endpoint = services.endpoint_of(row)
        if may_call:
            return _Look(Probe.Kind.CALLED, endpoint)
        if probe.models_request(endpoint) is None:
            return None
        return _Look(Probe.Kind.LISTED, endpoint)
    except SecretProblem as problem:
        return _failed(probe.Finding(False, f"{problem.reason} {problem.hint}"))
    except (UpstreamError, BadRequest) as error:
        return _failed(probe.failure(error))
    except UnknownFamily as error:
        return _failed(probe.Finding(False, str(error)))


def _failed(finding: probe.Finding) -> _Look:
    return _Look(Probe.Kind.CALLED, None, finding=finding)


async def _ask(looks: list[_Look]) -> None:
    await asyncio.gather(*(_ask_one(each) for each in looks))


async def _ask_one(one: _Look) -> None:
    if one.endpoint is None:
        return
    ask = probe.list_models if one.kind == Probe.Kind.LISTED else probe.call_model
    one.finding = await ask(one.endpoint, services.network())


def _rows(one: _Look) -> list[Probe]:
    found, now = one.finding, clock.now()
    if found is None:
        return []
    return [
        Probe(
            deployment=row,
            at=now,
            kind=one.kind,
            is_ok=found.is_ok,
            latency_ms=found.latency_ms,
            message="" if found.is_ok else found.message[:300],
        )
        for row in one.about
    ]
