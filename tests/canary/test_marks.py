"""The scanner itself: what it must find in every form, and that it finds nothing else."""

from __future__ import annotations

import base64
import gzip
import json
from urllib.parse import quote

import pytest

from tests.canary.marks import canary, encoded
from tests.canary.sinks import Place, hits

MARK = canary("provider key", "sk-")


@pytest.mark.parametrize(
    "leak",
    [
        MARK.text,
        MARK.core[5:13],
        MARK.core[-8:],
        base64.b64encode(f"user:{MARK.text}".encode()).decode(),
        base64.urlsafe_b64encode(f"a{MARK.text}z".encode()).decode(),
        base64.b64encode(f"xy{MARK.text}".encode()).decode(),
        MARK.text.encode().hex(),
        MARK.core.encode().hex().upper(),
        quote(f"https://h/?k={MARK.text}", safe=""),
        json.dumps({"a": [MARK.text]}),
        MARK.text[::-1],
    ],
    ids=[str(number) for number in range(11)],
)
def test_every_form_is_found(leak: str) -> None:
    assert hits([MARK], [Place("log", f"before {leak} after".encode())])


def test_raw_bytes_and_their_encodings_are_found() -> None:
    mark = encoded("vault key")
    for leak in (mark.raw, mark.raw.hex().encode(), base64.b64encode(b"x" + mark.raw)):
        assert hits([mark], [Place("file", b"head" + leak + b"tail")])


def test_seven_letters_and_other_text_are_not_taken_for_one() -> None:
    assert hits([MARK], [Place("log", f"{MARK.core[:7]} {MARK.text[:6]}…".encode())]) == []


def test_compressed_content_is_looked_into() -> None:
    assert hits([MARK], [Place("file", gzip.compress(f"x {MARK.text}".encode()))])


def test_only_the_named_places_are_allowed() -> None:
    mark = canary("session", allowed=("column sessions.key",))
    content = mark.text.encode()
    assert hits([mark], [Place("column sessions.key", content)]) == []
    assert hits([mark], [Place("column other.key", content)])


def test_a_report_tells_no_secret() -> None:
    (hit,) = hits([MARK], [Place("log", MARK.text.encode())])
    assert MARK.core[:WINDOW_SHOWN] not in hit


WINDOW_SHOWN = 8
