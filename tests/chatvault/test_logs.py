"""Log lines: their fields, and that secrets and values stay out of them."""

import base64
import json
import logging
import sys

import pytest

from chatvault.lib import correlation, trace_context
from chatvault.lib.logs import JsonFormatter, TextFormatter
from chatvault.lib.redact import describe, mask
from chatvault.settings.logs import LogSettings
from chatvault.supervisor.lines import MOST_BYTES, Lines

PROVIDER_KEY = "sk-proj-4bR7kQmZ9wX2"
VIRTUAL_KEY = "cv_9maYVJvSRdop9m1V6GyoxEfD1t3LPk2rWTXhlm7l4IE3rY0Dc"
RANDOM = "q8Zr2Lw0Vt6Ys4Xn1Bd3Fg5Hj7Kp9MaQ"  # as passwords that tools make


def a_record(message: str, *args: object, error: BaseException | None = None, **extra: object):
    exc_info = None
    if error is not None:
        try:
            raise error
        except BaseException:
            exc_info = sys.exc_info()
    made = logging.LogRecord("apps.x", logging.ERROR, __file__, 1, message, args, exc_info)
    vars(made).update(extra)
    return made


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {PROVIDER_KEY}",
        f"authorization={RANDOM}",
        f"the key {VIRTUAL_KEY} is",
        f"postgresql://chatvault:{RANDOM}@db/x",
        f"redis://:{RANDOM}@cache:6379/0",
        f"GET https://api.example.com/v1?key={RANDOM}&x=1",
        f"password: {RANDOM}",
        '{"api_key": "' + RANDOM + '"}',
        f"hex {RANDOM.encode().hex()}",
        f"base64 {base64.b64encode(RANDOM.encode()).decode()}",
        f"jwt eyJhbGciOiJIUzI1NiJ9.{RANDOM}.{RANDOM}",
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str) -> None:
    masked = mask(text)
    assert "***" in masked
    for secret in (PROVIDER_KEY, VIRTUAL_KEY, RANDOM, RANDOM.encode().hex()):
        assert secret not in masked


@pytest.mark.parametrize(
    "text",
    [
        "request 01234567-89ab-7def-8123-456789abcdef took 12 ms",
        "trace 68661da23fb0415599c2b128025ef583",
        "test_a_very_long_name_of_a_function_without_digits_in_it",
        "/usr/lib/python3/site-packages/opentelemetry/trace.py",
        "https://api.openai.com/v1/chat/completions",
        "gpt-4o-mini-2024-07-18",
    ],
)
def test_what_operators_need_stays(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("invalid literal for int() with base 10: 'a prompt'"),
         "invalid literal for int() with base 10: '…'"),
        (KeyError("a prompt"), ""),
        (ImportError("No module named 'hvac'"), "No module named 'hvac'"),
        (RuntimeError(f"no {VIRTUAL_KEY}\nsecond line"), "no ***"),
        (type("Foreign", (Exception,), {"__module__": "litellm.exceptions"})("a prompt"), ""),
    ],
)  # fmt: skip
def test_an_exception_says_what_is_no_value(error: BaseException, said: str) -> None:
    assert describe(error) == said


def test_a_line_of_json_has_its_fields_and_nothing_else() -> None:
    record = a_record("done %s", 1, request_id=b"\1" * 16, status=200, latency_ms=5, prompt="x")
    line = json.loads(JsonFormatter().format(record))
    assert line.pop("time").endswith("Z")
    assert line.pop("pid") > 0
    assert line == {
        "level": "error", "logger": "apps.x", "event": "done 1", "role": "manage",
        "request_id": "01" * 16, "status": 200, "latency_ms": 5,
    }  # fmt: skip


def test_a_line_says_which_request_caused_the_work_and_in_which_trace() -> None:
    packed = b"t" * 16 + b"s" * 8 + b"\1"
    with correlation.within("0123456789abcdef"), trace_context.within(packed):
        line = json.loads(JsonFormatter().format(a_record("working")))
    assert (line["request_id"], line["trace_id"]) == ("0123456789abcdef", (b"t" * 16).hex())


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_an_error_has_frames_and_no_values(formatter: logging.Formatter) -> None:
    foreign = type("ApiError", (Exception,), {"__module__": "litellm"})("body with a prompt")
    error = ValueError(f"could not read {VIRTUAL_KEY!r}")
    error.__cause__ = foreign
    text = formatter.format(a_record("failed", error=error))
    assert "prompt" not in text
    assert VIRTUAL_KEY not in text
    assert "test_logs.py" in text
    assert "ApiError" in text
    assert ("\n" in text) is isinstance(formatter, TextFormatter)


def test_only_our_own_packages_may_say_everything() -> None:
    logging_of = LogSettings().as_django("DEBUG")
    assert logging_of["root"]["level"] == "INFO"
    assert logging_of["loggers"]["apps"]["level"] == "DEBUG"
    assert logging_of["loggers"]["LiteLLM"]["level"] == "WARNING"
    assert LogSettings().as_django("ERROR")["root"]["level"] == "ERROR"


@pytest.fixture
def json_lines(settings) -> Lines:
    log = LogSettings(format="json")
    sections = type("Sections", (), {"log": log})()
    settings.CHATVAULT = sections
    return Lines("gateway")


def test_a_childs_lines_are_whole_lines() -> None:
    lines = Lines("gateway")
    assert lines.feed(b"one\ntw") == ["gateway  | one"]
    assert lines.feed(b"o\n\n  \n") == ["gateway  | two"]
    assert lines.feed("ü".encode()[:1]) == []
    assert lines.feed("ü".encode()[1:] + b"\n") == ["gateway  | ü"]
    assert lines.feed(b"rest") == []
    assert lines.feed(b"") == ["gateway  | rest"]
    assert len(lines.feed(b"x" * (MOST_BYTES + 1))) == 1


def test_what_a_child_prints_is_masked_but_for_what_we_say() -> None:
    lines = Lines("ingest")
    assert lines.feed(f"panic {VIRTUAL_KEY}\n".encode()) == ["ingest   | panic ***"]
    own = f"chatvault: API key:  {VIRTUAL_KEY}"
    assert lines.feed(f"{own}\n".encode()) == [f"ingest   | {own}"]


def test_json_passes_untouched_and_the_rest_becomes_json(json_lines: Lines) -> None:
    own = JsonFormatter().format(a_record("hello"))
    (first, second) = json_lines.feed(f"{own}\nSegmentation fault {VIRTUAL_KEY}\n".encode())
    assert first == own
    told = json.loads(second)
    assert (told["role"], told["event"]) == ("gateway", "Segmentation fault ***")
