"""How the states of deliveries look."""

from __future__ import annotations

from typing import Final

from apps.alerts.models import Delivery
from chatvault.lib.label import Label

State = Delivery.State
STATES: Final = {
    State.WAITING.value: "info",
    State.SENDING.value: "info",
    State.SENT.value: "success",
    State.FAILED.value: "warning",
    State.GIVEN_UP.value: "danger",
}


def state_label(state: str) -> Label:
    return Label(state, str(State(state).label))
