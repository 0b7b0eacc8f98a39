"""Bad input through the front door: the right status and envelope, and nothing sent or charged."""

import json
import socket
import time
from typing import Any

import httpx
import pytest

from apps.billing.limits import BudgetLimit, QuotaLimit
from tests.fakes.http import HTTP
from tests.fakes.upstream import FakeUpstream
from tests.gateway.testbed import Gateway

HELLO: Any = [{"role": "user", "content": "Hello there"}]
GOOD = {"model": "m", "messages": HELLO}


@pytest.fixture
def key(gateway: Gateway, upstream: FakeUpstream) -> str:
    gateway.add_model("m", upstream.openai_url)
    return gateway.add_client()


def post(
    gateway: Gateway, key: str | None, body: Any, path: str = "/chat/completions"
) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    return HTTP.post(gateway.openai_url + path, content=content, headers=headers, timeout=10)


def check_refused(
    reply: httpx.Response, gateway: Gateway, upstream: FakeUpstream, status: int, code: str
) -> dict[str, Any]:
    """One envelope, and neither a provider nor the journal heard of the request."""
    error: dict[str, Any] = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (status, code)
    assert list(reply.json()) == ["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert error["message"].endswith(".")
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"]
    assert upstream.seen == []
    assert gateway.records() == []
    assert gateway.limits.in_flight == 0
    return error


class TestBody:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b'{"model": "m", "messages": [}',
            b"\xff\xfe",
            b'{"model": "m", "messages": [], "x": "\xff"}',
            b'{"model": "m", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            b'{"model": "m", "messages": []} trailing',
            b'{"model": "m", "messages": [], "n": NaN}',
            b'{"model": "\\ud800", "messages": []}',
        ],
    )
    def test_malformed_json(self, gateway, upstream, key, body):
        reply = post(gateway, key, body)
        error = check_refused(reply, gateway, upstream, 400, "malformed_json")
        assert error["type"] == "invalid_request_error"

    @pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"1", b"[" * 100_000])
    def test_not_an_object(self, gateway, upstream, key, body):
        reply = post(gateway, key, body)
        check_refused(reply, gateway, upstream, 400, "invalid_request")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("model", None),
            ("model", 7),
            ("model", ""),
            ("messages", "Hello"),
            ("messages", {}),
            ("messages", None),
            ("stream", "yes"),
            ("n", 0),
            ("n", -1),
            ("n", "2"),
            ("n", 1.5),
            ("n", 2**63),
            ("max_tokens", -1),
            ("max_tokens", 0),
            ("max_tokens", 2**63),
            ("max_tokens", 2**64),
            ("max_tokens", 10**400),
            ("max_tokens", "10"),
            ("max_completion_tokens", -1),
            ("max_completion_tokens", 2**63),
            ("stream_options", []),
            ("stream_options", {"include_usage": True}),
        ],
    )
    def test_wrong_value(self, gateway, upstream, key, field, value):
        reply = post(gateway, key, GOOD | {field: value})
        error = check_refused(reply, gateway, upstream, 400, "invalid_value")
        assert error["param"] == field
        assert field in error["message"]

    @pytest.mark.parametrize("family", ["anthropic", "gemini"])
    def test_tool_arguments_that_are_no_json(self, gateway, upstream, family):
        """Arguments are text in OpenAI's format and an object in the others'."""
        base_url = upstream.gemini_url if family == "gemini" else upstream.anthropic_url
        gateway.add_model("m", base_url, family=family)
        key = gateway.add_client()
        for arguments in ("{", "[" * 100_000, "null", "[1]", '"text"'):
            called = {"id": "c", "type": "function"}
            called |= {"function": {"name": "f", "arguments": arguments}}
            messages = [*HELLO, {"role": "assistant", "tool_calls": [called]}]
            messages.append({"role": "tool", "tool_call_id": "c", "content": "done"})
            reply = post(gateway, key, {"model": "m", "messages": messages})
            assert reply.status_code == 400, arguments[:10]
            assert reply.json()["error"]["param"].startswith("messages[1]")
        assert upstream.seen == []
        assert gateway.settled() == []

    @pytest.mark.parametrize("field", ["model", "messages"])
    def test_missing_field(self, gateway, upstream, key, field):
        body = {name: value for name, value in GOOD.items() if name != field}
        error = check_refused(post(gateway, key, body), gateway, upstream, 400, "invalid_value")
        assert error["param"] == field

    def test_the_last_of_two_equal_fields_counts_everywhere(self, gateway, upstream, key):
        body = b'{"model":"other","messages":[],"model":"m","max_tokens":1,"max_tokens":5}'
        assert post(gateway, key, body).status_code == 200
        assert upstream.last.json["max_tokens"] == 5
        assert upstream.last.body.count(b'"max_tokens"') == 1

    def test_over_the_cap(self, gateway, upstream, key):
        body = b'{"model":"m","messages":[],"x":"' + b"a" * (21 * 2**20) + b'"}'
        reply = post(gateway, key, body)
        check_refused(reply, gateway, upstream, 413, "body_too_large")

    def test_over_the_cap_without_telling_its_length(self, gateway, upstream, key):
        def parts():
            for _ in range(22):
                yield b" " * 2**20

        reply = HTTP.post(
            f"{gateway.openai_url}/chat/completions",
            content=parts(),
            headers={"authorization": f"Bearer {key}"},
            timeout=10,
        )
        check_refused(reply, gateway, upstream, 413, "body_too_large")

    def test_compressed(self, gateway, upstream, key):
        reply = HTTP.post(
            f"{gateway.openai_url}/chat/completions",
            content=b"\x1f\x8b",
            headers={"authorization": f"Bearer {key}", "content-encoding": "gzip"},
        )
        check_refused(reply, gateway, upstream, 400, "invalid_request")

    @pytest.mark.parametrize(
        ("path", "body", "param"),
        [
            ("/embeddings", {"model": "m"}, "input"),
            ("/embeddings", {"input": "a"}, "model"),
            ("/completions", {"prompt": "a"}, "model"),
            ("/completions", {"model": "m", "prompt": "a", "max_tokens": -1}, "max_tokens"),
        ],
    )
    def test_other_endpoints(self, gateway, upstream, path, body, param):
        gateway.add_model("m", upstream.openai_url)
        reply = post(gateway, gateway.add_client(), body, path)
        error = check_refused(reply, gateway, upstream, 400, "invalid_value")
        assert error["param"] == param


class TestHeaders:
    def test_too_large_in_one_piece(self, gateway, key):
        reply = httpx.get(
            f"{gateway.openai_url}/models",
            headers={"authorization": f"Bearer {key}", "x-filler": "x" * 40_000},
        )
        assert reply.status_code == 400
        assert reply.json()["error"]["message"] == "The headers are larger than 32 KiB in all."


class TestKey:
    @pytest.mark.parametrize(
        "wrong", [None, "x", "cv_short", "sk-1234", "cv_" + "0" * 49, "é" * 40]
    )
    def test_unknown(self, gateway, upstream, key, wrong):
        headers = {} if wrong is None else {"authorization": f"Bearer {wrong}".encode()}
        url = f"{gateway.openai_url}/chat/completions"
        reply = HTTP.post(url, json=GOOD, headers=headers)
        check_refused(reply, gateway, upstream, 401, "invalid_api_key")
        assert reply.headers["www-authenticate"] == "Bearer"

    def test_expired_looks_like_unknown(self, gateway, upstream, key):
        expired = gateway.add_client(expires_at_s=time.time() - 1)
        reply = post(gateway, expired, GOOD)
        error = check_refused(reply, gateway, upstream, 401, "invalid_api_key")
        assert error == post(gateway, "cv_unknown", GOOD).json()["error"]

    def test_disabled_key_and_client(self, gateway, upstream, key):
        disabled = gateway.add_client(key_is_active=False)
        check_refused(post(gateway, disabled, GOOD), gateway, upstream, 403, "key_disabled")
        suspended = gateway.add_client(is_active=False)
        check_refused(post(gateway, suspended, GOOD), gateway, upstream, 403, "key_disabled")

    def test_the_key_is_checked_before_the_body(self, gateway, upstream, key):
        reply = post(gateway, "cv_unknown", b"{")
        check_refused(reply, gateway, upstream, 401, "invalid_api_key")

    @pytest.mark.parametrize("header", ["x-api-key", "api-key"])
    def test_other_headers_carry_it_too(self, gateway, key, header):
        url = f"{gateway.openai_url}/chat/completions"
        assert HTTP.post(url, json=GOOD, headers={header: key}).status_code == 200

    def test_it_is_never_repeated(self, gateway, upstream, key):
        secret = "cv_" + "Z" * 49
        assert secret not in post(gateway, secret, GOOD).text


class TestModel:
    def test_unknown(self, gateway, upstream, key):
        reply = post(gateway, key, GOOD | {"model": "nothing"})
        error = check_refused(reply, gateway, upstream, 404, "model_not_found")
        assert error["param"] == "model"

    def test_not_allowed_to_client_or_key(self, gateway, upstream, key):
        gateway.add_model("other", upstream.openai_url)
        narrow = gateway.add_client(aliases=frozenset({"other"}))
        reply = post(gateway, narrow, GOOD)
        check_refused(reply, gateway, upstream, 403, "model_not_allowed")
        narrower = gateway.add_client(key_aliases=frozenset({"other"}))
        reply = post(gateway, narrower, GOOD)
        check_refused(reply, gateway, upstream, 403, "model_not_allowed")

    def test_no_deployment(self, gateway, upstream, key):
        gateway.add_model("bare", upstream.openai_url, models=["x"])
        gateway.remove_deployments("bare")
        reply = post(gateway, key, GOOD | {"model": "bare"})
        check_refused(reply, gateway, upstream, 503, "no_deployment")


class TestRoutes:
    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
    def test_wrong_method(self, gateway, upstream, key, method):
        reply = HTTP.request(
            method,
            f"{gateway.openai_url}/chat/completions",
            headers={"authorization": f"Bearer {key}"},
        )
        check_refused(reply, gateway, upstream, 405, "method_not_allowed")
        assert reply.headers["allow"] == "POST"

    def test_unknown_path(self, gateway, upstream, key):
        reply = post(gateway, key, GOOD, "/nothing")
        check_refused(reply, gateway, upstream, 404, "unknown_url")


class TestLimits:
    def test_request_quota(self, gateway, upstream, key):
        limited = gateway.add_client(quotas=(QuotaLimit(1, "requests", 60, 2),))
        for _ in range(2):
            assert post(gateway, limited, GOOD).status_code == 200
        reply = post(gateway, limited, GOOD)
        assert (reply.status_code, reply.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert 0 < float(reply.headers["retry-after"]) <= 61
        assert len(upstream.seen) == len(gateway.settled()) == 2

    def test_token_quota_counts_what_was_used(self, gateway, upstream, key):
        limited = gateway.add_client(quotas=(QuotaLimit(1, "tokens", 60, 200),))
        assert post(gateway, limited, GOOD | {"max_tokens": 100}).status_code == 200
        assert post(gateway, limited, GOOD | {"max_tokens": 100}).status_code == 200
        reply = post(gateway, limited, GOOD | {"max_tokens": 5_000})
        assert (reply.status_code, reply.json()["error"]["code"]) == (429, "rate_limit_exceeded")

    def test_spent_budget(self, gateway, upstream, key):
        budget = BudgetLimit(1, 5_000, "month")
        poor = gateway.add_client(budgets=(budget,))
        reply = post(gateway, poor, GOOD | {"max_tokens": 10})
        error = check_refused(reply, gateway, upstream, 402, "budget_exhausted")
        assert error["type"] == "insufficient_quota"
        assert reply.headers["x-should-retry"] == "false"
        assert gateway.limits.usage_of(budget).spent_nano == 0

    @pytest.mark.parametrize("most", [2**31 - 1, 2**31])
    def test_a_huge_cap_is_never_a_credit(self, gateway, upstream, key, most):
        budget = BudgetLimit(1, 10**9, "month")
        poor = gateway.add_client(budgets=(budget,))
        reply = post(gateway, poor, GOOD | {"max_tokens": most, "n": 128})
        assert reply.status_code in (400, 402)
        assert upstream.seen == []
        usage = gateway.limits.usage_of(budget)
        assert (usage.spent_nano, usage.held_nano) == (0, 0)

    def test_unpriced_model_with_a_budget(self, gateway, upstream, key):
        gateway.add_model("unpriced", upstream.openai_url, is_priced=False)
        poor = gateway.add_client(budgets=(BudgetLimit(1, 10**12, "month"),))
        reply = post(gateway, poor, GOOD | {"model": "unpriced"})
        check_refused(reply, gateway, upstream, 402, "model_unpriced")


class TestHangUp:
    """A client that leaves is charged for what the provider generated; everything is freed."""

    def leave(
        self, gateway: Gateway, upstream: FakeUpstream, key: str, until: bytes, **more: Any
    ) -> None:
        """Ask, wait until the provider was asked and `until` has arrived, and hang up."""
        body = json.dumps(GOOD | more).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        port, asked = int(gateway.url.rpartition(":")[2]), len(upstream.seen)
        with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
            line.sendall(head.encode() + body)
            got = b""
            while until not in got:
                got += line.recv(65_536)
            upstream.wait_until(lambda up: len(up.seen) > asked)

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_in_a_stream(self, gateway, upstream, key, count):
        pieces = ["Hel", "lo", " you", " all"]
        upstream.will_stream(*pieces, hold_after=count)
        self.leave(gateway, upstream, key, f'"{pieces[count - 1]}"'.encode(), stream=True)
        [settle] = gateway.wait_settled()
        assert (settle.outcome, settle.http_status) == ("cancelled", 499)
        assert settle.error_code == "client_closed_request"
        assert (settle.usage_source, settle.usage.output_tokens) == ("estimated", count)
        upstream.wait_until(lambda up: up.last.hung_up)
        assert upstream.last.tokens == count
        gateway.wait_for(lambda: not gateway.plane.live)

    def test_before_the_first_byte(self, gateway, upstream, key):
        budget = BudgetLimit(1, 10**9, "month")
        quotas = (QuotaLimit(1, "concurrency", 0, 1),)
        limited = gateway.add_client(budgets=(budget,), quotas=quotas)
        upstream.will_stream("Hello", hold_after=0)
        self.leave(gateway, upstream, limited, b"", stream=True)
        upstream.wait_until(lambda up: up.last.hung_up, timeout_s=3)
        gateway.wait_for(lambda: gateway.limits.in_flight == 0)
        gateway.wait_for(lambda: not gateway.plane.live)
        assert gateway.limits.usage_of(budget).held_nano == 0
        assert post(gateway, limited, GOOD).status_code == 200

    def test_a_whole_answer_that_nobody_waits_for(self, gateway, upstream, key):
        upstream.will_answer("Hello you", hold_after=0)
        self.leave(gateway, upstream, key, b"", stream=False)
        upstream.wait_until(lambda up: len(up.seen) == 1)
        upstream.release()
        [settle] = gateway.wait_settled()
        assert settle.charged_nano > 0
        gateway.wait_for(lambda: not gateway.plane.live)

    def test_many_at_random_lose_nothing(self, gateway, upstream, key):
        budget = BudgetLimit(1, 10**12, "month")
        quotas = (QuotaLimit(1, "concurrency", 0, 50),)
        many = gateway.add_client(budgets=(budget,), quotas=quotas)
        for at in range(60):
            upstream.will_stream("a", "b", "c", hold_after=at % 3)
            self.leave(gateway, upstream, many, b'"a"' if at % 3 else b"", stream=True)
        gateway.wait_for(lambda: not gateway.plane.live)
        gateway.wait_for(lambda: gateway.limits.in_flight == 0)
        settled = gateway.settled()
        assert len(settled) == len({one.request_id for one in settled}) == len(upstream.seen)
        usage = gateway.limits.usage_of(budget)
        assert usage.spent_nano == sum(one.charged_nano for one in settled)
        assert usage.held_nano == 0
        upstream.wait_until(lambda up: up.connections <= 1)
