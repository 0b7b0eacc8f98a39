"""The request's way. Both doors call `serve`; README.md names the steps in this order."""

from __future__ import annotations

import asyncio

from apps.gateway.contracts import ClientGone, GatewayRequest, Identity, Outlet
from apps.gateway.dry_run import dry_run
from apps.gateway.error_detail import detail_of
from apps.gateway.meter import Meter, Outcome
from apps.gateway.plane import DataPlane
from apps.gateway.reply import answer_head
from apps.gateway.steps.admit import admit
from apps.gateway.steps.authenticate import authenticate, authorise
from apps.gateway.steps.call import call
from apps.gateway.steps.receive import receive
from apps.gateway.steps.record import record
from apps.gateway.steps.route import route
from apps.gateway.steps.settle import bill_of, settle
from apps.gateway.steps.stream import stream, take_answer
from apps.gateway.telling import tell_finished
from chatvault.lib import failpoints
from chatvault.lib.errors import ChatVaultError, ShuttingDown
from chatvault.lib.redact import mask


async def serve(request: GatewayRequest, plane: DataPlane, outlet: Outlet) -> None:
    """Answer one request through `outlet`.

    Raises ChatVaultError when nothing has been sent to the client, for the door to render, and
    ClientGone when the client hung up. Whatever happens, the books are closed before the last
    byte goes out.
    """
    identity = await authenticate(request, plane)  # 2: first, so that strangers learn nothing
    request.key = identity.key
    gate = plane.gate
    if gate.running < gate.limit and not gate.waiting:
        gate.running += 1
    else:
        await _stand_in_line(request, identity, plane, outlet)
    try:
        await _serve(request, identity, plane, outlet)
    finally:
        gate.leave()


async def _stand_in_line(
    request: GatewayRequest, identity: Identity, plane: DataPlane, outlet: Outlet
) -> None:
    """Raises Overloaded, and ClientGone for one that did not want to wait."""
    is_gone = False
    outlet.watch()
    try:
        try:
            await plane.gate.wait(identity.client.id, len(request.body))
        finally:
            is_gone = outlet.unwatch()
    except asyncio.CancelledError:
        if is_gone:
            raise ClientGone from None
        raise
    if is_gone:  # it hung up in the turn in which it was admitted
        plane.gate.leave()
        raise ClientGone


async def _serve(
    request: GatewayRequest, identity: Identity, plane: DataPlane, outlet: Outlet
) -> None:
    try:
        receive(request)  # 1
        offer = authorise(request, identity, plane)
    except ChatVaultError:
        request.alias = mask(request.alias)  # some paste a key where the model belongs
        raise
    if request.is_dry_run:
        await dry_run(request, identity, offer, plane, outlet)
        return
    meter = plane.live[request.id] = await admit(request, identity, offer, plane)  # 3
    is_gone = False
    try:
        try:
            tail = await _answer(meter, plane, outlet)
        finally:
            is_gone = outlet.unwatch()
    except ChatVaultError as error:
        meter.fail("error", error.http_status, error.public_code)
        meter.error_detail = detail_of(error)
        await close_books(meter, plane)
        raise
    except asyncio.CancelledError:
        if plane.is_ending and not is_gone:
            await _break_off(meter, plane, "interrupted", ShuttingDown.status, ShuttingDown.code)
            raise ShuttingDown(headers={"retry-after": "1"}) from None
        await _break_off(meter, plane, "cancelled", 499, "client_closed_request")
        raise ClientGone from None
    except BaseException as error:
        meter.fail("error", 500, "internal_error")
        meter.error_detail = detail_of(error)
        await close_books(meter, plane)
        raise
    await close_books(meter, plane)
    if not request.stream:
        await outlet.start(200, answer_head(meter, plane, len(tail)))
    await outlet.end(tail)
    if failpoints.ARMED:
        failpoints.reach("last-byte-sent")


async def _answer(meter: Meter, plane: DataPlane, outlet: Outlet) -> bytes:
    """Steps 4 to 6; returns the bytes that wait for the books."""
    plan = route(meter, plane)  # 4
    if meter.request.stream:
        outlet.watch()
    upstream = await call(plan, meter, plane)  # 5
    try:
        if not meter.request.stream:
            return take_answer(upstream, meter)
        return await stream(upstream, meter, plane, outlet, answer_head(meter, plane))  # 6
    finally:
        await upstream.close()


async def close_books(meter: Meter, plane: DataPlane) -> None:
    """Steps 7 and 8, exactly once. The journal comes first: it is what survives a crash."""
    if not meter.is_open:
        return
    meter.is_open = False
    plane.live.pop(meter.request.id, None)
    bill = meter.bill = bill_of(meter)
    if failpoints.ARMED:
        failpoints.reach("upstream-answered")
    try:
        record(meter, bill, plane)  # 8
        await plane.journal.durable()
        if failpoints.ARMED:
            failpoints.reach("settle-written")
    finally:
        await settle(meter, bill, plane)  # 7
        if plane.is_watched:
            tell_finished(meter, plane)
    if failpoints.ARMED:
        failpoints.reach("limits-settled")


async def _break_off(
    meter: Meter, plane: DataPlane, outcome: Outcome, status: int, code: str
) -> None:
    """The client is gone, or the process ends: what was delivered is owed all the same."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
    meter.fail(outcome, status, code)
    if meter.is_sent and meter.usage_source == "none":
        meter.estimate(0)  # the provider has the prompt
    await asyncio.shield(close_books(meter, plane))
