"""What is told without anybody asking, and what is forgotten."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from apps import alerts
from apps.alerts import channels, delivery, secrets, tasks, topics, troubles, watching
from apps.alerts.models import Alert, Channel, Delivery
from apps.configuration import job_queue
from apps.configuration.job_errors import JobProblem
from apps.configuration.models import JobRun
from apps.providers import services as vaults
from apps.usage import control_figures
from apps.usage.models import ErrorGroup
from chatvault.lib import clock
from chatvault.lib.metrics.text import render
from tests.factories import make_deployment, make_request
from tests.factories.alerts import SIGNING, make_alert, make_channel, make_delivery
from tests.fakes.mailbox import MailServer
from tests.metrics.folk import samples

pytestmark = pytest.mark.django_db


def told(topic: str) -> list[Alert]:
    return list(Alert.objects.filter(topic=topic).order_by("pk"))


def test_a_model_that_is_used_without_a_price_is_told_once_a_day() -> None:
    now = clock.now()
    deployment = make_deployment(name="gpt-x@openai", model="gpt-x")
    used = {"deployment_id": deployment.pk, "input_tokens": 5, "started_at": now}
    make_request(**used | {"price_id": None})
    make_request(**used | {"price_id": None})
    make_request(**used | {"price_id": 1})
    make_request(**used | {"price_id": None, "started_at": now - timedelta(hours=1)})
    make_request(**used | {"price_id": None, "input_tokens": 0, "output_tokens": 0})
    for _ in range(2):
        troubles.unpriced(now)
    (alert,) = told("price.unpriced")
    assert alert.facts == {"deployment": "gpt-x@openai", "model": "gpt-x", "requests": 2}
    assert (alert.count, alert.team_id, alert.until) == (2, None, now + timedelta(days=1))
    assert alert.link == "/admin/billing/price/add/?model=gpt-x"


def test_a_refused_credential_is_told_once_a_trouble() -> None:
    now = clock.now()
    group = ErrorGroup.objects.create(
        pk=1, kind="attempt", code="upstream_credential_refused", count=3, first_seen=now,
        last_seen=now, state_at=now, deployment_id=7, deployment_name="gpt-x@openai",
    )  # fmt: skip
    for _ in range(2):
        troubles.credentials(now)
    (alert,) = told("provider.credential")
    assert alert.title == "A provider refuses the credential of gpt-x@openai"
    assert "3 calls" in alert.text
    ErrorGroup.objects.update(state=ErrorGroup.State.RESOLVED)
    troubles.credentials(now)
    assert len(told("provider.credential")) == 1
    assert group.pk == 1


def test_a_failed_check_of_the_books_is_told() -> None:
    now = clock.now()
    JobRun.objects.create(name="verify-audit", state="failed", error_message="1 found.")
    JobRun.objects.create(name="verify-ledger", state="failed", error_message="old")
    run = JobRun.objects.create(name="verify-ledger", state="failed", error_message="Σ differs")
    JobRun.objects.create(name="verify-ledger", state="running")
    JobRun.objects.create(name="forget-the-old", state="failed", error_message="no check")
    for _ in range(2):
        troubles.checks(now)
    found = {alert.key: alert for alert in told("ledger.audit")}
    assert found.keys() == {"verify-audit", "verify-ledger"}
    assert found["verify-ledger"].text == "Σ differs"
    assert found["verify-ledger"].link == f"/admin/configuration/jobrun/{run.pk}/change/"
    JobRun.objects.create(name="verify-audit", state="done")
    Alert.objects.all().delete()
    troubles.checks(now)
    assert [alert.key for alert in told("ledger.audit")] == ["verify-ledger"]


def test_a_source_that_fails_keeps_the_others_from_nothing(
    monkeypatch: pytest.MonkeyPatch, mail_server: MailServer
) -> None:
    make_channel()

    def found(_: Any) -> None:
        alerts.tell("ledger.audit", key="found", title="t", text="t", team_id=None, facts={})

    def broken(_: Any) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(watching, "_sources", {"a": broken, "b": found})
    with pytest.raises(JobProblem, match=r"because they failed: a\."):
        tasks.watch()
    assert len(mail_server.mails) == 1


def test_all_sources_are_asked() -> None:
    assert watching.look(clock.now()) == []
    assert {"budgets", "prices", "credentials", "checks"} <= set(watching._sources)


def test_what_is_undone_is_not_told() -> None:
    make_channel()
    with pytest.raises(RuntimeError), transaction.atomic():
        alerts.tell("ledger.audit", key="k", title="t", text="t", team_id=None, facts={})
        raise RuntimeError
    assert not Alert.objects.exists()
    assert not Delivery.objects.exists()


def test_a_worker_is_woken_after_the_commit(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    make_channel()
    sent: list[str] = []
    monkeypatch.setattr(job_queue, "send_task", lambda task, **_: sent.append(task))
    given: dict[str, Any] = {"title": "t", "text": "t", "team_id": None, "facts": {}}
    with django_capture_on_commit_callbacks(execute=True):
        alerts.tell("ledger.audit", key="k", **given)
        assert sent == []
    assert sent == ["apps.alerts.tasks.deliver"]
    with django_capture_on_commit_callbacks(execute=True):
        alerts.tell("ledger.audit", key="k", **given)  # counted: there is nothing to send
    assert len(sent) == 1


def test_old_alerts_are_forgotten_but_not_those_that_still_count() -> None:
    old = clock.now() - timedelta(days=401)
    past = {"at": old, "last_at": old}
    make_delivery(alert=make_alert(key="over", is_current=False, **past))
    make_alert(key="ended", until=old, **past)
    make_alert(key="for ever", **past)
    make_alert(key="still", until=clock.now() + timedelta(days=1), **past)
    make_alert(key="new")
    tasks.forget_alerts()
    assert set(Alert.objects.values_list("key", flat=True)) == {"for ever", "still", "new"}
    assert not Delivery.objects.exists()


def test_channels_are_sealed_anew_with_the_vault(settings: Any) -> None:
    make_channel(url="https://hooks.example.org/x")
    before = Channel.objects.get().sealed
    assert vaults.reseal_secrets() == 0
    keys = settings.CHATVAULT.vault.keys.get_secret_value()
    vault = settings.CHATVAULT.vault.model_copy(
        update={"keys": type(settings.CHATVAULT.vault.keys)(f"t2:{'A' * 43}=,{keys}")}
    )
    settings.CHATVAULT = dataclasses.replace(settings.CHATVAULT, vault=vault)
    assert vaults.reseal_secrets() == 1
    channel = Channel.objects.get()
    assert channel.sealed.startswith("cv1:t2:")
    assert before.startswith("cv1:t1:")
    kept = secrets.reveal(channel)
    assert (kept.url, kept.signing) == ("https://hooks.example.org/x", SIGNING)
    assert "hooks" not in repr(kept)


def test_a_seal_does_not_open_in_another_channel() -> None:
    one = make_channel(url="https://hooks.example.org/x")
    other = make_channel(url="https://other.example.org/x")
    Channel.objects.filter(pk=other.pk).update(sealed=one.sealed)
    alerts.tell("ledger.audit", key="k", title="t", text="t", team_id=None, facts={})
    assert delivery.attempt(Delivery.objects.get(channel=other).pk) is not None
    row = Delivery.objects.get(channel=other)
    assert row.state == "failed"
    assert "does not belong here" in row.last_error


def test_a_topic_is_registered_once() -> None:
    topics.register("budget.forecast", *topics._topics["budget.forecast"][1:])
    with pytest.raises(ValueError, match="registered already"):
        topics.register("budget.forecast", "Something else", "")
    assert topics.title_of("nobody.knows") == "nobody.knows"


def test_a_test_is_no_other_alert(mail_server: MailServer) -> None:
    quiet = make_channel(is_active=False)
    make_channel()
    tried = channels.test(channel=quiet, by="ada")
    assert tried.state == "sent"
    assert delivery.deliver_due() == 0
    (mail,) = mail_server.mails
    assert mail.message["Subject"] == f"[ChatVault] Test of the channel {quiet.name}"
    assert "ada asked for it" in mail.text


def test_what_prometheus_is_told_of_deliveries() -> None:
    now = clock.now()
    make_delivery(state="failed", next_at=now)
    make_delivery(state="given_up", next_at=None)
    make_delivery(state="given_up", next_at=None)
    make_delivery(state="given_up", next_at=None, alert=make_alert(topic=topics.TEST))
    old = make_delivery()
    past = make_delivery(state="given_up", next_at=None)
    Delivery.objects.filter(pk=old.pk).update(created_at=now - timedelta(hours=1))
    Delivery.objects.filter(pk=past.pk).update(created_at=now - timedelta(days=2))
    told = samples(render(control_figures.read_all()))
    expected = {"waiting": 1, "failed": 1, "given_up": 2}
    for state, count in expected.items():
        assert told[f'chatvault_alert_deliveries{{state="{state}"}}'] == count
    assert 3600 <= told["chatvault_alert_oldest_waiting_age_seconds"] < 3660
