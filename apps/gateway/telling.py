"""What is told of a finished request beside the journal and the figures: its trace, and a line of
the log. Called only where one of them is on."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Any

from chatvault.lib import clock

if TYPE_CHECKING:
    from apps.gateway.contracts import GatewayRequest
    from apps.gateway.meter import Meter
    from apps.gateway.plane import DataPlane
    from chatvault.lib.errors import ChatVaultError

log = logging.getLogger("chatvault.access")


def tell_finished(meter: Meter, plane: DataPlane) -> None:
    """A request whose books are closed, however it ended."""
    request = meter.request
    request.is_told = True
    trace, request.trace = request.trace, None
    if trace is not None and plane.tracer is not None:
        plane.tracer.finished(trace, meter)
    if not _is_written(plane):
        return
    candidate, first_at = meter.candidate, meter.first_token_at
    log.info(
        "request",
        extra=_fields(request, meter.http_status, meter.error_code or meter.outcome)
        | {
            "trace_id": trace.trace_id if trace is not None else None,
            "deployment": candidate.deployment.name if candidate is not None else None,
            "first_token_ms": int((first_at - request.started) * 1000) if first_at >= 0 else None,
            "input_tokens": meter.usage.input_tokens,
            "output_tokens": meter.usage.output_tokens,
        },
    )


def tell_refused(request: GatewayRequest, error: ChatVaultError, plane: DataPlane | None) -> None:
    """A request that ended before it had books; one that was told already is not told again."""
    if plane is None or not plane.is_watched or request.is_told:
        return
    request.is_told = True
    trace, request.trace = request.trace, None
    if trace is not None and plane.tracer is not None:
        plane.tracer.refused(trace, request, error)
    if _is_written(plane):
        log.info(
            "request",
            extra=_fields(request, error.http_status, error.public_code)
            | {"trace_id": trace.trace_id if trace is not None else None},
        )


def _is_written(plane: DataPlane) -> bool:
    return plane.log_ratio > 0 and random.random() < plane.log_ratio  # noqa: S311 – no secret


def _fields(request: GatewayRequest, status: int, code: str) -> dict[str, Any]:
    return {
        "request_id": request.id,
        "operation": request.operation,
        "alias": request.alias,
        "client_id": request.key.client_id if request.key is not None else None,
        "key_id": request.key.key_id if request.key is not None else None,
        "status": status,
        "code": code,
        "latency_ms": int((clock.monotonic() - request.started) * 1000),
    }
