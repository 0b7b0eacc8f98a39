"""Circuit breaker per deployment, and the budget that keeps retries from multiplying an outage."""

from __future__ import annotations

from collections.abc import Iterable

from chatvault.lib import clock

FAILURES_TO_OPEN = 5
OPEN_S = 5.0
OPEN_MAX_S = 60.0


class _Circuit:
    __slots__ = ("failures", "open_for_s", "open_until", "probing")

    def __init__(self) -> None:
        self.failures = 0
        self.open_for_s = OPEN_S
        self.open_until = 0.0
        self.probing = False


class Breaker:
    """Opens after five failures in a row; then one probe at a time decides.

    A caller that finds every deployment refused uses them all the same: the last one is never
    ejected, because a wrong guess must not make an outage of its own.
    """

    def __init__(self) -> None:
        self._circuits: dict[int, _Circuit] = {}

    def allows(self, deployment_id: int) -> bool:
        """Whether to call it now. Asking on an expired break claims the probe."""
        circuit = self._circuits.get(deployment_id)
        if circuit is None or circuit.failures < FAILURES_TO_OPEN:
            return True
        if clock.monotonic() < circuit.open_until or circuit.probing:
            return False
        circuit.probing = True
        return True

    def succeeded(self, deployment_id: int) -> None:
        if self._circuits:
            self._circuits.pop(deployment_id, None)

    def failed(self, deployment_id: int, *, retry_after_s: float | None = None) -> None:
        """Count a failure. With `retry_after_s` the circuit is open for as long at once."""
        circuit = self._circuits.setdefault(deployment_id, _Circuit())
        circuit.failures += 1
        circuit.probing = False
        now = clock.monotonic()
        if retry_after_s is not None:
            circuit.failures = max(circuit.failures, FAILURES_TO_OPEN)
            circuit.open_until = max(circuit.open_until, now + min(retry_after_s, OPEN_MAX_S))
        elif circuit.failures >= FAILURES_TO_OPEN:
            circuit.open_until = max(circuit.open_until, now + circuit.open_for_s)
            circuit.open_for_s = min(circuit.open_for_s * 2, OPEN_MAX_S)

    def unused(self, deployment_id: int) -> None:
        """Give a claimed probe back: the call was not made, or it proved nothing."""
        circuit = self._circuits.get(deployment_id)
        if circuit is not None:
            circuit.probing = False

    def keep_only(self, deployment_ids: Iterable[int]) -> None:
        """Forget deployments that are gone."""
        known = set(deployment_ids)
        for deployment_id in [i for i in self._circuits if i not in known]:
            del self._circuits[deployment_id]

    def is_open(self, deployment_id: int) -> bool:
        """Whether it is left alone now, or tried by one probe. For any thread."""
        circuit = self._circuits.get(deployment_id)
        return circuit is not None and circuit.failures >= FAILURES_TO_OPEN

    def open_ids(self) -> list[int]:
        now = clock.monotonic()
        return [i for i, circuit in self._circuits.items() if circuit.open_until > now]


class RetryBudget:
    """Retries may be at most a fifth of the requests (promises F1, R10), with a small reserve."""

    SHARE = 0.2
    RESERVE = 10.0

    def __init__(self) -> None:
        self._tokens = self.RESERVE

    def earn(self) -> None:
        if self._tokens < self.RESERVE:
            self._tokens += self.SHARE

    def spend(self) -> bool:
        """Whether a retry may be made; if so it is paid for."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
