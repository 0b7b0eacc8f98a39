"""The queue: JSON only, late acknowledgement, and a schedule whose tasks exist."""

import pytest

from chatvault.beat import TIMETABLE
from chatvault.celery import app


@pytest.mark.django_db
def test_every_task_of_the_schedule_exists() -> None:
    app.loader.import_default_modules()
    assert {job.task for job in TIMETABLE.values()} <= set(app.tasks)


def test_only_json_is_taken_and_given() -> None:
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == app.conf.result_serializer == "json"


def test_a_task_is_done_before_it_is_acknowledged() -> None:
    assert app.conf.task_acks_late is True
