"""What /metrics says of requests: every one is counted once, under labels that stay few."""

import threading
from typing import Any

import httpx
import pytest

from apps.billing.limits import QuotaLimit
from apps.gateway.metrics import MAX_CODES, MAX_SERVED, REQUESTS, Metrics
from apps.gateway.snapshot.model import Deployment
from apps.providers.adapters.contract import Usage as Used
from tests.fakes.http import HTTP
from tests.fakes.upstream import FakeUpstream, Usage
from tests.gateway.testbed import Gateway
from tests.metrics.folk import samples

HELLO: Any = [{"role": "user", "content": "Hello there"}]
PAIR = 'alias="m",deployment="m@1"'
SERVED = f'{PAIR},provider="openai"'
CALLED = 'deployment="m@1",provider="openai",family="openai"'


@pytest.fixture
def key(gateway: Gateway, upstream: FakeUpstream) -> str:
    gateway.add_model("m", upstream.openai_url)
    return gateway.add_client()


def post(gateway: Gateway, key: str, **more: Any) -> httpx.Response:
    return HTTP.post(
        f"{gateway.openai_url}/chat/completions",
        json={"model": "m", "messages": HELLO} | more,
        headers={"authorization": f"Bearer {key}"},
    )


def told(gateway: Gateway) -> dict[str, float]:
    return samples(HTTP.get(f"{gateway.url}/metrics").content)


def test_an_answer(gateway, upstream, key):
    upstream.will_answer("Hi", usage=Usage(100, 20, cached=60, reasoning=5))
    assert post(gateway, key).status_code == 200
    figures = told(gateway)
    assert figures[f'chatvault_requests_total{{{SERVED},result="ok",code="ok"}}'] == 1
    assert figures[f'chatvault_attempts_total{{{CALLED},code="ok"}}'] == 1
    assert figures[f"chatvault_request_duration_seconds_count{{{PAIR}}}"] == 1
    kinds = {"input": 40, "cached_input": 60, "output": 15, "reasoning": 5}
    for kind, count in kinds.items():
        assert figures[f'chatvault_tokens_total{{{SERVED},kind="{kind}"}}'] == count
    (settled,) = gateway.settled()
    assert settled.charged_nano > 0
    for name in ("cost", "charged"):
        assert figures[f"chatvault_{name}_usd_total{{{SERVED}}}"] * 1e9 == settled.charged_nano


def test_a_stream_has_a_first_token_and_a_speed(gateway, upstream, key):
    upstream.will_stream("a", "b", "c", pace_s=0.02)
    assert post(gateway, key, stream=True).status_code == 200
    figures = told(gateway)
    assert figures[f"chatvault_time_to_first_token_seconds_count{{{PAIR}}}"] == 1
    assert figures[f"chatvault_output_tokens_per_second_count{{{PAIR}}}"] == 1
    assert 10 < figures[f"chatvault_output_tokens_per_second_sum{{{PAIR}}}"] < 200


@pytest.mark.parametrize(
    ("status", "result"), [(400, "client_error"), (500, "server_error"), (503, "server_error")]
)
def test_a_failure_says_whose_it_is(gateway, upstream, key, status, result):
    upstream.will_fail(status, times=None)
    assert post(gateway, key).status_code >= 400
    figures = told(gateway)
    failed = {name: n for name, n in figures.items() if name.startswith("chatvault_requests_total")}
    assert len(failed) == 1
    assert f'result="{result}"' in next(iter(failed))
    attempts = [n for name, n in figures.items() if name.startswith("chatvault_attempts_total")]
    assert sum(attempts) == len(upstream.seen)


def test_a_retry_and_a_fallback_are_told_apart(gateway, upstream):
    gateway.add_model("two", upstream.openai_url, models=["first", "second"])
    gateway.add_model("one", upstream.openai_url)
    key = gateway.add_client()
    upstream.will_fail(500, model="first")
    upstream.will_fail(500, model="one")
    assert post(gateway, key, model="two").status_code == 200
    assert post(gateway, key, model="one").status_code == 200
    figures = told(gateway)
    labels = 'provider="openai",family="openai"'
    assert figures[f'chatvault_fallbacks_total{{deployment="second@2",{labels}}}'] == 1
    assert figures[f'chatvault_retries_total{{deployment="one@3",{labels}}}'] == 1
    assert sum(name.startswith("chatvault_fallbacks_total") for name in figures) == 1
    assert sum(name.startswith("chatvault_retries_total") for name in figures) == 1


def test_refusals_are_counted_by_code(gateway, key):
    assert post(gateway, "cv_unknown").status_code == 401
    assert post(gateway, key, model="nope").status_code == 404
    figures = told(gateway)
    named = 'chatvault_refusals_total{result="client_error",code="%s"}'
    assert figures[named % "invalid_api_key"] == 1
    assert figures[named % "model_not_found"] == 1


def test_the_tightest_quota_is_told(gateway, upstream):
    gateway.add_model("m", upstream.openai_url)
    key = gateway.add_client(
        quotas=(QuotaLimit(1, "requests", 60, 4), QuotaLimit(2, "requests", 3600, 100))
    )
    for _ in range(3):
        post(gateway, key)
    assert told(gateway)['chatvault_quota_used_ratio{unit="requests"}'] == 0.75


def test_labels_name_no_client_and_no_key(gateway, upstream, key):
    post(gateway, key)
    post(gateway, key, stream=True)
    text = HTTP.get(f"{gateway.url}/metrics").text
    assert not any(secret in text for secret in ("client1", "key1", "team", key, "Hello"))


def test_what_labels_can_be_is_bounded():
    metrics = Metrics()
    for number in range(MAX_SERVED + 50):
        deployment = Deployment(number, f"d{number}", "p", "openai", "", "m")
        metrics.attempted(deployment, "boom")
        metrics.finished(f"a{number}", deployment, "ok", 200, "", 0.1, -1.0, Used(1, 1), 1, 1)
    for number in range(MAX_CODES + 50):
        metrics.refused(f"code{number}", 400)
        metrics.finished(
            "a0", Deployment(0, "d0", "p", "openai", "", "m"), "error", 500, f"code{number}",
            0.1, -1.0, Used(), 0, 0,
        )  # fmt: skip
    rows = {family.name: rows for family, rows in metrics.figures()}
    served = rows[REQUESTS.name]
    assert served[("other", "other", "other", "ok", "ok")] == (50,)
    assert served[("a0", "d0", "p", "other", "other")] == (50,)
    assert len(served) == MAX_SERVED + 1 + MAX_CODES + 1
    assert len(rows["chatvault_refusals_total"]) == MAX_CODES + 1
    assert sum(row[0] for row in served.values()) == MAX_SERVED + 50 + MAX_CODES + 50


def test_reading_while_requests_are_counted():
    metrics = Metrics()
    is_over = threading.Event()
    wrong: list[BaseException] = []

    def read() -> None:
        try:
            while not is_over.is_set():
                list(metrics.figures())
        except BaseException as error:
            wrong.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(20_000):
        deployment = Deployment(number % 200, f"d{number % 200}", "p", "openai", "", "m")
        code = f"code{number % 60}" if number % 3 else ""
        outcome = "error" if code else "ok"
        metrics.finished("a", deployment, outcome, 500, code, 0.1, -1.0, Used(1, 1), 1, 1)
        metrics.refused(f"code{number % 60}", 400)
    is_over.set()
    reader.join()
    assert wrong == []
