"""What the pipeline and an adapter agree on. Everything here is data; nothing does I/O."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from chatvault.lib.errors import UpstreamError
from chatvault.lib.redact import Secret

if TYPE_CHECKING:
    from apps.providers.upstream import UpstreamPool

Operation = Literal["chat", "completions", "embeddings"]


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one call. Whole counts include their parts, as OpenAI counts:

    `input_tokens` ⊇ cached + cache writes + audio and image input; `output_tokens` ⊇ reasoning +
    audio + image output.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    images: int = 0
    duration_ms: int = 0  # of audio or video that is billed by time
    searches: int = 0


class Endpoint(msgspec.Struct, frozen=True):
    """Where a deployment lives: what an adapter needs to write a request for it."""

    family: str
    base_url: str  # without a trailing slash
    model: str  # the provider's own name for it
    secret: Secret | None = None
    options: dict[str, Any] = {}  # declared differences of the vendor; see the family's README


class Call(msgspec.Struct, frozen=True):
    """One client request as the adapters see it: OpenAI's format, already validated in part."""

    operation: Operation
    alias: str  # the model name that the client asked for
    body: bytes  # the client's JSON object, untouched
    stream: bool = False
    wants_usage: bool = False  # the client itself asked for stream_options.include_usage
    max_output_tokens: int | None = None  # what ChatVault must cap the output at; None: as sent
    request_id: str = ""  # ours; used where the provider gives no id

    def __repr__(self) -> str:
        return f"Call({self.operation}, {self.request_id})"  # the body is the client's own


class UpstreamRequest(msgspec.Struct, frozen=True):
    """One HTTP request to a provider. Secrets are in headers, never in the URL."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def __repr__(self) -> str:
        return f"UpstreamRequest({self.method} {self.url})"  # headers hold the secret


class Answer(msgspec.Struct, frozen=True):
    """A finished, non-streamed answer in OpenAI's format."""

    body: bytes
    usage: Usage | None  # None: the provider told none that is valid; it will be estimated
    output_text_bytes: int = 0  # delivered text, for the estimate when usage is None
    service_tier: str = ""  # in which it was served, as the provider named it; "": it did not say


class StreamReader(Protocol):
    """Turns a provider's stream into OpenAI's. One per stream; pure but for its own state."""

    usage: Usage | None  # the last valid one seen
    service_tier: str  # the last one seen; "": none
    output_events: int  # distinct content deltas seen: the lower bound of output tokens
    output_text_bytes: int  # delivered text, for estimates; exact for translated streams
    is_complete: bool  # a finish reason or the end mark was seen
    finish_reasons: list[str]  # as far as they were seen, in OpenAI's words

    def feed(self, data: bytes) -> bytes:
        """Bytes that may go to the client now (often `data` itself, or b"").

        From the provider's end on, everything is held back for `finish`. Any slicing of the
        input gives the same output. Raises UpstreamRefused when the provider reports an error
        inside the stream, UpstreamInvalid for what is not its protocol.
        """
        ...

    def finish(self) -> bytes:
        """The held-back tail (usage chunk if the client asked for it, then the end mark).

        Called once, at the clean end of the body. Raises UpstreamBroken if the stream ended
        before it was complete.
        """
        ...


class UpstreamAnswer(Protocol):
    """What a call returns when its head has arrived."""

    status: int
    headers: dict[str, str]

    async def next_chunk(self) -> bytes: ...
    async def read(self) -> bytes: ...
    def close(self) -> None: ...


class Perform(Protocol):
    """For families that do not speak plain HTTP of their own (demo, litellm)."""

    def __call__(
        self, call: Call, endpoint: Endpoint, pool: UpstreamPool | None
    ) -> AbstractAsyncContextManager[UpstreamAnswer]: ...


class Adapter(msgspec.Struct, frozen=True):
    """One family of providers. All members but `perform` are pure functions.

    - `build_request` raises UnsupportedField or InvalidField (400) for what it cannot express.
    - `read_answer` raises UpstreamInvalid for a 200 that is no answer.
    - `read_error` never raises and never returns the provider's own text unsanitised.
    - `perform`, where given, replaces `build_request` and the HTTP call; it answers in the
      shape that `read_answer`, `open_stream` and `read_error` of the same adapter read.
    """

    family: str
    build_request: Callable[[Call, Endpoint], UpstreamRequest]
    read_answer: Callable[[Call, bytes], Answer]
    open_stream: Callable[[Call, Endpoint], StreamReader]
    read_error: Callable[[int, dict[str, str], bytes], UpstreamError]
    operations: frozenset[str] = frozenset({"chat"})
    perform: Perform | None = None
