"""Traces of one process: begun after the fork, ended before the exit."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.conf import settings

from chatvault.lib.spans import Span
from chatvault.settings.sections import Sections

if TYPE_CHECKING:
    from apps.gateway.tracing import Tracer
    from chatvault.telemetry.export import Exporter


class _Process:
    """One instance, below: what this process sends by; nothing where traces are off."""

    exporter: Exporter | None = None


_process = _Process()


def start(role: str) -> None:
    """Where an endpoint is given: the queue, its thread and the SDK."""
    sections = _sections()
    telemetry = sections.telemetry
    if not telemetry.is_on:
        return
    from chatvault.telemetry import sdk
    from chatvault.telemetry.export import Destination, Exporter

    upstream = sections.upstream
    exporter = _process.exporter = Exporter(
        Destination(
            url=telemetry.traces_url,
            headers=telemetry.header_list(),
            resource={
                "service.name": telemetry.service_name,
                "service.instance.id": f"{socket.gethostname()}/{role}/{os.getpid()}",
                "host.name": socket.gethostname(),
                "process.pid": os.getpid(),
                "chatvault.role": role,
            },
            timeout_s=telemetry.timeout_s,
            proxy=upstream.proxy.get_secret_value() or None,
            no_proxy=upstream.no_proxy,
        ),
        most_waiting=telemetry.queue_spans,
    )
    exporter.start()
    sdk.start(
        _offer,
        service=telemetry.service_name,
        ratio=telemetry.sample_ratio,
        continues=telemetry.continue_client_traces,
    )


def _offer(spans: Sequence[Span]) -> None:
    """To the exporter of the process that runs: a worker's children have one each."""
    if _process.exporter is not None:
        _process.exporter.offer(spans)


def stop() -> None:
    """Send what waits; takes a few seconds at most."""
    exporter, _process.exporter = _process.exporter, None
    if exporter is not None:
        exporter.stop()


def exporter() -> Exporter | None:
    """What this process sends by, for its figures; None where traces are off."""
    return _process.exporter


def tracer() -> Tracer | None:
    """For the gateway of this process; None where traces are off."""
    from apps.gateway.tracing import Tracer

    telemetry = _sections().telemetry
    if _process.exporter is None:
        return None
    return Tracer(
        _process.exporter.offer,
        ratio=telemetry.sample_ratio,
        continues=telemetry.continue_client_traces,
        tells=frozenset(telemetry.propagate_to),
    )


def instrument_django() -> None:
    """Call it before Django's handler is made."""
    if _sections().telemetry.is_on:
        from chatvault.telemetry import sdk

        sdk.instrument_django()


def _sections() -> Sections:
    sections: Sections = settings.CHATVAULT
    return sections
