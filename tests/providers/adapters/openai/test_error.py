import json

import pytest

from apps.providers.adapters.openai.error import read_error
from apps.providers.adapters.refusals import clean_message
from tests.providers.adapters.shapes import CANARY, exchanges


def refuse(status, message="", headers=None, **more):
    body = json.dumps({"error": {"message": message, **more}}).encode()
    return read_error(status, headers or {}, body)


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_the_callers_own_fault_keeps_status_message_and_known_code(status):
    error = refuse(
        status,
        "This model's maximum context length is 8192 tokens.",
        type="invalid_request_error",
        code="context_length_exceeded",
        param="messages[0].content",
    )
    assert error.http_status == status
    assert error.openai()["error"] == {
        "message": "This model's maximum context length is 8192 tokens.",
        "type": "invalid_request_error",
        "param": "messages[0].content",
        "code": "context_length_exceeded",
    }
    assert not error.retryable
    assert not error.blames_deployment


def test_codes_types_and_params_that_nobody_knows_are_not_passed_on():
    told = refuse(400, "no", type="weird", code="secret_thing_7", param="x y<script>").openai()
    assert told["error"] == {
        "message": "no",
        "type": "invalid_request_error",
        "param": None,
        "code": "upstream_invalid_request",
    }


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_is_ours_and_never_the_callers(status):
    error = refuse(status, f"Incorrect API key provided: {CANARY}", code="invalid_api_key")
    assert error.http_status == 502
    assert error.public_code == "upstream_credential_refused"
    assert "ChatVault's credential" in error.message
    assert error.retryable
    assert error.blames_deployment


def test_a_rate_limit_keeps_well_formed_advice_only():
    headers = {"retry-after": "7", "retry-after-ms": "6500.5", "x-secret": CANARY}
    error = refuse(429, "Rate limit reached for org-abc", headers, code="rate_limit_exceeded")
    assert (error.http_status, error.public_type) == (429, "rate_limit_error")
    assert error.headers == {"retry-after": "7", "retry-after-ms": "6500.5"}
    assert error.retryable
    forged = refuse(429, "", {"retry-after": "7\r\nset-cookie: a=b"})
    assert forged.headers == {}


@pytest.mark.parametrize(("status", "code"), [(402, ""), (429, "insufficient_quota")])
def test_an_empty_account_of_ours_is_not_the_callers_budget(status, code):
    error = refuse(status, "You exceeded your current quota", code=code)
    assert (error.http_status, error.public_code) == (502, "upstream_quota_exhausted")
    assert error.retryable


@pytest.mark.parametrize(
    ("status", "public", "retryable"),
    [
        (500, 502, True),
        (502, 502, True),
        (503, 503, True),
        (504, 504, True),
        (529, 503, True),
        (408, 504, True),
        (409, 502, True),
        (405, 502, False),
        (302, 502, False),
    ],
)
def test_the_providers_own_faults(status, public, retryable):
    error = refuse(status, f"stack trace with {CANARY}")
    assert error.http_status == public
    assert error.upstream_status == status
    assert error.retryable is retryable
    assert error.blames_deployment
    assert "stack" not in error.message


SECRETS = [
    "sk-proj-AbCdEf0123456789",
    "sk-ant-api03-abcdefghijkl",
    "AIzaSyD-1234567890abcdefghijk",
    "gsk_abcdefghijklmnop",
    "Bearer abc.def.ghi",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
    "5f4dcc3b5aa765d61d8327deb882cf99",
    "AKIAIOSFODNN7EXAMPLE",
    "org-Ab12Cd34Ef56",
    "cv_live_abcdefghijklmno",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 429, 500, 529])
@pytest.mark.parametrize("form", ["({})", "key={}&x=1", '"{}"', "https://u:p@h.test/p?key={}#f"])
def test_no_secret_in_an_error_body_reaches_a_caller(secret, status, form):
    error = refuse(status, "wrong: " + form.format(secret), code=secret, type=secret)
    shown = json.dumps(error.openai()) + json.dumps(error.headers)
    core = secret.split()[-1]
    assert core not in shown
    assert core[-8:] not in shown
    assert "u:p@" not in shown


def test_words_and_model_names_survive_the_cleaning():
    said = (
        "Unsupported value: 'temperature' with model claude-3-5-sonnet-20241022 or "
        "accounts/fireworks/models/llama-v3p1-405b-instruct; see https://platform.test/docs/errors."
    )
    assert clean_message(said) == said


def test_messages_are_one_line_of_at_most_500_characters():
    cleaned = clean_message("a\x00b\r\n\tc " + "word " * 500)
    assert cleaned.startswith("a b c word")
    assert len(cleaned) == 500
    assert cleaned.endswith("…")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>" + CANARY.encode(),
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"error":null}',
        b'{"error":[1]}',
        b"[" * 100_000,
        b'{"error":{"message":{"a":1},"code":7,"type":[],"param":{}}}',
        b'{"error":{"message":"' + b"x" * 1_000_000 + b'"}}',
    ],
)
def test_rubbish_still_gives_a_sentence(body):
    error = read_error(400, {}, body)
    assert error.message == "The provider refused the request as invalid."
    assert error.http_status == 400


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":"model not found"}',
        b'{"message":"model not found"}',
        b'{"detail":"model not found"}',
        b'[{"error":{"message":"model not found"}}]',
        b'{"object":"error","message":"model not found","code":404}',
    ],
)
def test_other_envelopes_of_vendors_are_understood(body):
    assert read_error(404, {}, body).message == "model not found"


def test_every_recorded_error_keeps_its_status():
    seen = 0
    for exchange in exchanges():
        if exchange["status"] < 400 or "chat/completions" not in exchange["path"]:
            continue
        error = read_error(exchange["status"], exchange["headers"], exchange["body"].encode())
        told = json.loads(exchange["body"])["error"]
        assert error.http_status == exchange["status"]
        assert error.message == told["message"]
        assert error.public_type == told["type"]
        seen += 1
    assert seen == 4
