import io

import pytest
from django.core.management import call_command

from apps.accounts.credentials import issue_secret


def check(monkeypatch, *lines):
    out = io.StringIO()
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    try:
        call_command("check_key", stdout=out)
    except SystemExit as end:
        return out.getvalue(), end.code
    return out.getvalue(), 0


def test_whole_credentials_are_told_by_kind_and_not_repeated(monkeypatch):
    shown = [issue_secret(), issue_secret("cvo_"), issue_secret("cvr_")]
    told, status = check(monkeypatch, *shown)
    assert status == 0
    assert [line.partition(": ")[2] for line in told.splitlines()] == [
        "a key, whole",
        "an OAuth access token, whole",
        "a refresh token, whole",
    ]
    assert not any(secret in told for secret in shown)


@pytest.mark.parametrize("line", ["cv_short", "sk-other", "cv_" + "A" * 49])
def test_anything_else_is_an_exit_of_one(monkeypatch, line):
    told, status = check(monkeypatch, issue_secret(), line)
    assert status == 1
    assert "line 2: " in told
