"""Loading litellm: seconds and 180 MB, so it is done once, off the event loop, when needed."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from types import ModuleType
from typing import Any

_lock = threading.Lock()
_loaded: list[ModuleType] = []


async def load() -> Any:
    """The configured library."""
    if _loaded:
        return _loaded[0]
    return await asyncio.to_thread(_load_once)


def _load_once() -> ModuleType:
    with _lock:
        if not _loaded:
            _loaded.append(_load())
        return _loaded[0]


def _load() -> ModuleType:
    """Read by the import: no price list from the network, no .env file, no aiohttp."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_MODE"] = "PRODUCTION"
    os.environ["DISABLE_AIOHTTP_TRANSPORT"] = "True"
    import litellm

    _silence(litellm)
    _guard(litellm)
    return litellm


def _silence(litellm: Any) -> None:
    """No telemetry, no callbacks, no log lines: prompts and secrets would be in them."""
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.turn_off_message_logging = True
    litellm.disable_streaming_logging = True
    litellm.disable_hf_tokenizer_download = True
    litellm.callbacks = []
    litellm.success_callback = []
    litellm.failure_callback = []
    litellm.cache = None
    litellm.num_retries = 0
    litellm.drop_params = False
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = False
        logger.disabled = True


def _guard(litellm: Any) -> None:
    """Every client that the library makes from here on speaks through our transports."""
    import httpx
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, HTTPHandler

    from apps.providers.adapters.litellm.transport import GuardedTransport, RefusingTransport

    def transport(*args: object, **kwargs: object) -> GuardedTransport:
        return GuardedTransport()

    handler: Any = AsyncHTTPHandler
    handler.create_async_transport = staticmethod(transport)
    handler._create_async_transport = staticmethod(transport)
    litellm.sync_transport = RefusingTransport()
    litellm.client_session = httpx.Client(transport=RefusingTransport(), trust_env=False)
    litellm.aclient_session = httpx.AsyncClient(transport=GuardedTransport(), trust_env=False)
    litellm.module_level_client = HTTPHandler()
    litellm.module_level_aclient = AsyncHTTPHandler()
    litellm.in_memory_llm_clients_cache.flush_cache()
