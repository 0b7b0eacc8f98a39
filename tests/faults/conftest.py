"""Deadlines short enough to wait for."""

import msgspec
import pytest

from apps.gateway.plane import PlaneOptions
from tests.gateway.testbed import PATIENT

PHASE_S = 0.5
TOTAL_S = 1.5


@pytest.fixture
def gateway_options() -> PlaneOptions:
    """Connect, first byte and idle end after PHASE_S, everything after TOTAL_S."""
    return msgspec.structs.replace(
        PATIENT,
        connect_timeout_s=PHASE_S,
        first_byte_timeout_s=PHASE_S,
        idle_timeout_s=PHASE_S,
        total_timeout_s=TOTAL_S,
    )
