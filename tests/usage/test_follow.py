import threading

import pytest
from django.db import OperationalError

from apps.usage import follow
from apps.usage.follow import Follower, read_status


class Stepper:
    """Stands for the ingester: what its steps do is scripted, where they ran is kept."""

    def __init__(self, script, lag=0):
        self.script = script
        self.lag = lag
        self.threads: list[str] = []
        self.made = 0
        self.shipped = 0
        self.delay_s = 0.0

    def __call__(self, _directory):
        self.made += 1
        return self

    def load(self):
        pass

    def close(self):
        pass

    def unshipped_bytes(self):
        return self.lag

    def step(self):
        self.threads.append(threading.current_thread().name)
        action = self.script.pop(0)
        if isinstance(action, Exception):
            raise action
        return action() if callable(action) else action


def run(monkeypatch, tmp_path, script, lag=0):
    stop = threading.Event()
    script.append(lambda: stop.set() or -1)
    script.append(-1)
    stepper = Stepper(script, lag)
    monkeypatch.setattr(follow, "Ingester", stepper)
    monkeypatch.setattr(follow, "GATHER_S", 0.001)
    monkeypatch.setattr(follow, "_RETRY_S", (0.001,))
    Follower(tmp_path, stop).run()
    return stepper


@pytest.mark.django_db
def test_batches_are_shipped_by_the_calm_thread(monkeypatch, tmp_path):
    stepper = run(monkeypatch, tmp_path, [5, -1, 7])
    assert [name.startswith("ingest") for name in stepper.threads] == [True] * 4 + [False]
    assert stepper.made == 1


@pytest.mark.django_db
def test_too_much_waiting_makes_it_the_main_threads_turn(monkeypatch, tmp_path):
    stepper = run(monkeypatch, tmp_path, [5, 5], lag=2**30)
    assert [name.startswith("ingest") for name in stepper.threads] == [True] + [False] * 3
    status = read_status(tmp_path)
    assert status is not None
    assert status.unshipped_bytes == 2**30


@pytest.mark.django_db
def test_after_an_error_all_is_read_again(monkeypatch, tmp_path):
    closed = []
    monkeypatch.setattr(follow.connection, "close", lambda: closed.append(1))
    stepper = run(monkeypatch, tmp_path, [5, OperationalError("gone"), OperationalError("gone"), 5])
    assert stepper.made == 3
    assert closed
