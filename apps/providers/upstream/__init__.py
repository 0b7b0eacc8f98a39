"""The only way out to a provider: see README.md."""

from apps.providers.adapters.contract import UpstreamRequest
from apps.providers.upstream.contract import Caps, Deadlines, PoolStats
from apps.providers.upstream.pool import UpstreamPool
from apps.providers.upstream.response import UpstreamResponse

__all__ = [
    "Caps",
    "Deadlines",
    "PoolStats",
    "UpstreamPool",
    "UpstreamRequest",
    "UpstreamResponse",
]
