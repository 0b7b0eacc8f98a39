"""What becomes of requests whose process died: they are settled by what the journal knows."""

from __future__ import annotations

from collections.abc import Iterable

from apps.billing.pricing import Bill, Price, bill
from apps.billing.versions import Versions
from apps.providers.adapters.contract import Usage
from apps.usage.open_requests import Closed, OpenRequest
from apps.usage.records import AttemptStart, Intent, Settle

ERROR_CODE = "interrupted"


def interrupted(requests: Iterable[OpenRequest]) -> list[Closed]:
    """Settle requests that nobody will settle any more.

    No attempt was begun: nothing was sent, nothing is owed. The last attempt was answered with
    an error: nothing is owed either. Otherwise the estimated prompt and the output by the last
    progress mark are charged at the price of the last attempt.
    """
    requests = list(requests)
    versions = Versions()
    versions.load(
        price_ids={start.price_id for start in map(_last_start, requests) if start},
        terms_ids={request.intent.terms_id for request in requests},
    )
    settles = [(request, _settle(request, versions)) for request in requests]
    return [Closed(one, settle, _at_most(one, settle, versions)) for one, settle in settles]


def _settle(request: OpenRequest, versions: Versions) -> Settle:
    intent, start = request.intent, _last_start(request)
    usage, amounts = Usage(), Bill(0, 0)
    if start is not None and not _was_refused(request, start):
        usage = Usage(input_tokens=intent.prompt_tokens, output_tokens=request.output_tokens)
        if price := versions.price(start.price_id):
            amounts = _bill(usage, price, intent, versions)
    return Settle(
        request_id=intent.request_id,
        at_ms=intent.at_ms,
        outcome="interrupted",
        http_status=0,
        error_code=ERROR_CODE,
        deployment_id=start.deployment_id if start else 0,
        price_id=start.price_id if start else 0,
        usage=usage,
        usage_source="none" if usage == Usage() else "estimated",
        cost_nano=amounts.cost_nano,
        charged_nano=amounts.charged_nano,
        latency_ms=0,
        attempts=len(request.starts),
    )


def _at_most(request: OpenRequest, settle: Settle, versions: Versions) -> int:
    """What was reserved; without a budget nothing was, and then all the output it was allowed."""
    intent, price = request.intent, versions.price(settle.price_id)
    if intent.reserved_nano or price is None or settle.usage_source == "none":
        return max(intent.reserved_nano, settle.charged_nano)
    output = max(settle.usage.output_tokens, intent.max_output_tokens)
    usage = Usage(input_tokens=intent.prompt_tokens, output_tokens=output)
    return _bill(usage, price, intent, versions).charged_nano


def _bill(usage: Usage, price: Price, intent: Intent, versions: Versions) -> Bill:
    """At the time of admission; in what service tier it was served nobody has told."""
    terms = versions.terms(intent.terms_id, tier_id=intent.tier_id, markup_ppm=intent.markup_ppm)
    return bill(usage, price, terms, at_s=intent.at_ms / 1_000)


def _last_start(request: OpenRequest) -> AttemptStart | None:
    return request.starts[max(request.starts)] if request.starts else None


def _was_refused(request: OpenRequest, start: AttemptStart) -> bool:
    end = request.ends.get(start.number)
    return end is not None and end.http_status >= 400
