"""What a traceback or a log may print of the objects of a request: no secret and no prompt."""

import httpx

from apps.gateway import plane as planes
from apps.gateway.steps import call as calls
from tests.fakes.http import HTTP
from tests.gateway.testbed import PEPPER, SECRET

PROMPT = "the-prompt-nobody-may-log"


def test_objects_of_a_request_tell_no_secret(gateway, upstream, monkeypatch):
    gateway.add_model("m", upstream.openai_url)
    key = gateway.add_client()
    seen: list[str] = []
    attempt, send = calls._attempt, gateway.plane.pool.send

    async def spy_attempt(candidate, meter, plane):
        seen.append(repr((candidate, meter, meter.request, meter.call_for(candidate))))
        return await attempt(candidate, meter, plane)

    async def spy_send(request, deadlines):
        seen.append(repr((request, deadlines)))
        return await send(request, deadlines)

    monkeypatch.setattr(calls, "_attempt", spy_attempt)
    monkeypatch.setattr(gateway.plane.pool, "send", spy_send)
    reply: httpx.Response = HTTP.post(
        f"{gateway.openai_url}/chat/completions",
        json={"model": "m", "messages": [{"role": "user", "content": PROMPT}]},
        headers={"authorization": f"Bearer {key}"},
    )
    assert reply.status_code == 200
    assert len(seen) == 2
    told = "".join(seen) + repr(gateway.plane.options) + repr(planes.PlaneOptions(pepper=PEPPER))
    for secret in (key, SECRET, PROMPT, PEPPER.decode()):
        assert secret not in told


def test_metrics_are_not_for_those_behind_a_proxy(gateway):
    url = f"{gateway.url}/metrics"
    assert HTTP.get(url).status_code == 200
    for name in ("x-forwarded-for", "X-Real-IP", "Forwarded", "Via"):
        assert HTTP.get(url, headers={name: "203.0.113.9"}).status_code == 404
