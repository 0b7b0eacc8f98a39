"""The names of every ASGI callable."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Message = MutableMapping[str, Any]
App = Callable[[Any, Receive, Send], Awaitable[None]]
