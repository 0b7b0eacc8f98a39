"""A scriptable provider on loopback. README.md beside this file shows how to use it."""

from tests.fakes.upstream.answers import Answer, Failure, Raw, ToolCall, Usage, UsageMode
from tests.fakes.upstream.fake import FakeUpstream
from tests.fakes.upstream.faults import CANARY, FAULTS
from tests.fakes.upstream.oracle import Seen, digest, read_oracle

__all__ = [
    "CANARY",
    "FAULTS",
    "Answer",
    "Failure",
    "FakeUpstream",
    "Raw",
    "Seen",
    "ToolCall",
    "Usage",
    "UsageMode",
    "digest",
    "read_oracle",
]
