"""Revisions of documents, checks and the command line."""

from __future__ import annotations

from io import StringIO

import pytest
import yaml
from django.core.management import CommandError, call_command

from apps.accounts.credentials import digest
from apps.accounts.keys import find_key_record, pepper
from apps.billing.models import PricingTier
from apps.configuration import announce, documents
from apps.configuration.models import Revision
from tests.configuration.conftest import CANARY, EXAMPLE, apply
from tests.factories import make_client, make_document, make_key, make_team, make_user

pytestmark = pytest.mark.django_db


def test_a_change_is_a_revision_with_its_author():
    actor = make_user(username="ada")
    applied = documents.apply(make_document(), source="api", actor=actor, comment="set up")
    revision = Revision.objects.get()
    assert applied.revision == revision.pk
    assert (revision.author, revision.source, revision.comment) == (actor, "api", "set up")
    assert revision.document == documents.export()
    assert ("configuration.revision", str(revision.pk)) in announce.since(0)[1]
    assert apply(make_document()).revision == revision.pk
    assert Revision.objects.count() == 1


def test_check_says_what_is_wrong_and_changes_nothing(rows):
    before = rows()
    assert documents.check(make_document()) == []
    assert rows() == before
    document = make_document(teams=[{"nam": "x"}])
    paths = [problem.path for problem in documents.check(document)]
    assert paths == ["teams[0].name", "teams[0].nam"]
    assert rows() == before


def test_plan_says_what_would_be_done(rows):
    before = rows()
    planned, problems = documents.plan(make_document())
    assert problems == []
    assert "clients[notebook].keys[ci]" in planned.created
    assert rows() == before


def test_the_command_applies_a_file(tmp_path, given_key):
    path = tmp_path / "document.yaml"
    path.write_text(EXAMPLE + "    description: Élodie\n")
    out = StringIO()
    call_command("config", "apply", str(path), stdout=out)
    assert "+ clients[notebook].keys[ci]" in out.getvalue()
    assert "13 created, 0 changed, 0 removed, 0 unchanged; revision" in out.getvalue()
    assert given_key not in out.getvalue()
    exported = StringIO()
    call_command("config", "export", stdout=exported)
    assert yaml.safe_load(exported.getvalue()) == documents.export()
    assert "Élodie" in exported.getvalue()


def test_the_command_tells_made_keys_once(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO(yaml.safe_dump(make_document())))
    out = StringIO()
    call_command("config", "apply", "-", stdout=out)
    line = next(line for line in out.getvalue().splitlines() if line.startswith("key "))
    token = line.removeprefix("key notebook / ci: ")
    assert find_key_record(digest(token.encode(), pepper())).name == "ci"
    monkeypatch.setattr("sys.stdin", StringIO(yaml.safe_dump(make_document())))
    again = StringIO()
    call_command("config", "apply", "-", stdout=again)
    assert "key " not in again.getvalue()


@pytest.mark.parametrize("verb", ["apply", "check"])
def test_the_command_refuses_with_every_problem(tmp_path, rows, verb):
    path = tmp_path / "document.yaml"
    path.write_text(yaml.safe_dump(make_document(colour=1, teams=[{"nam": "x"}])))
    before = rows()
    err = StringIO()
    with pytest.raises(CommandError, match="has 3 problems; nothing was changed"):
        call_command("config", verb, str(path), stderr=err)
    assert "teams[0].nam: There is no such field. Did you mean name?" in err.getvalue()
    assert rows() == before


def test_the_command_speaks_of_one_problem(tmp_path):
    path = tmp_path / "document.yaml"
    path.write_text(yaml.safe_dump(make_document(colour=1)))
    with pytest.raises(CommandError, match=r"^The document has 1 problem; nothing was changed\.$"):
        call_command("config", "check", str(path), stderr=StringIO())


@pytest.mark.parametrize("verb", ["check", "apply"])
def test_the_command_notes_what_would_not_work_yet(tmp_path, monkeypatch, verb):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    path = tmp_path / "document.yaml"
    path.write_text(yaml.safe_dump(make_document()))
    out = StringIO()
    call_command("config", verb, str(path), stdout=out)
    lines = out.getvalue().splitlines()
    assert [line for line in lines if line.startswith("note: ")] == [
        "note: providers[openai].credentials[main].secret: OPENAI_API_KEY is not set. "
        "Set it where ChatVault runs and restart.",
        "note: deployments[gpt-4o-mini@openai].credential: The credential main of openai has a "
        "secret that cannot be had here: requests fail. Mend the credential, or name another one.",
    ]
    if verb == "check":
        assert lines[-1] == "It can be applied, with 2 notes; nothing was changed."
    else:
        assert Revision.objects.count() == 1


def test_the_command_says_when_nothing_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    path = tmp_path / "document.yaml"
    path.write_text(yaml.safe_dump(make_document()))
    out = StringIO()
    call_command("config", "check", str(path), stdout=out)
    assert out.getvalue().endswith("\nNothing is wrong; nothing was changed.\n")
    assert "note:" not in out.getvalue()
    assert CANARY not in out.getvalue()


def test_the_command_says_why_a_file_cannot_be_read(tmp_path):
    with pytest.raises(CommandError, match="No such file"):
        call_command("config", "apply", str(tmp_path / "absent.yaml"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CommandError, match="not UTF-8"):
        call_command("config", "check", str(tmp_path / "binary"))


def test_rows_made_by_hand_are_exported_and_come_back():
    team = make_team(description="by hand")
    issued = make_key(client=make_client(team=team))
    PricingTier.objects.all().delete()
    exported = documents.export()
    assert exported["teams"] == [{"name": team.name, "description": "by hand"}]
    assert exported["clients"][0]["keys"] == [{"name": issued.key.name}]
