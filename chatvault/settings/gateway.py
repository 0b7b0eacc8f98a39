from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import Section


class GatewaySettings(Section):
    """What the gateway takes from clients and how it answers."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_GATEWAY_")

    max_body_mib: PositiveInt = 20
    """Largest request body; a larger one is refused with 413."""
    max_header_kib: PositiveInt = 32
    """Largest sum of request headers."""
    default_max_output_tokens: PositiveInt = 4096
    """Output tokens reserved for a request that names no limit on a model without one."""
    budget_exhausted_status: Literal[402, 429] = 402
    """Status of a refusal for a spent budget: 402, or 429 as OpenAI answers."""
    snapshot_poll_s: PositiveFloat = 0.4
    """How often a gateway looks for a new revision of the configuration."""
    key_cache_size: PositiveInt = 10_000
    """Keys remembered by one gateway process."""
    drain_timeout_s: NonNegativeFloat = 30.0
    """Time that running requests get when a process ends; then they are cut off with an error."""
    client_stall_s: PositiveFloat = 60.0
    """For how long a client may take nothing of its answer; then its connection is closed."""
    linger_s: NonNegativeFloat = 2.0
    """How long a process that ends still takes requests on idle connections, as their last."""
    processes: int = Field(1, ge=1, le=100)
    """Gateway processes of this node. More than one needs Redis."""
    max_running: NonNegativeInt = 0
    """Requests that one process answers at once; more wait. 0: what its descriptors allow."""
    max_queue: NonNegativeInt = 1000
    """Requests that wait for room in one process; more are refused with 503 `overloaded`."""
    queue_target_ms: PositiveInt = 500
    """Longest wait for room while the queue never empties."""
    queue_interval_ms: PositiveInt = 2000
    """Longest wait for room otherwise, and how long a queue may stand before `queue_target_ms`."""
    max_bodies_mib: PositiveInt = 512
    """Memory for the bodies of all requests that one process holds."""
    usage_ack: Literal["process", "disk"] = "process"
    """When an answer ends: usage handed to the kernel, or forced to disk."""
