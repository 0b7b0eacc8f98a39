"""A call through litellm, in the shape that OpenAI's readers read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from apps.providers.adapters import sse
from apps.providers.adapters.contract import (
    Call,
    Endpoint,
    StreamReader,
    UpstreamAnswer,
    UpstreamRequest,
)
from apps.providers.adapters.litellm import answers, library
from apps.providers.adapters.litellm.options import Options, read_options
from apps.providers.adapters.litellm.request import arguments
from apps.providers.adapters.openai.error import read_error
from apps.providers.adapters.openai.stream import PassThrough
from chatvault.lib.errors import BadRequest, UpstreamError, UpstreamForbidden, UpstreamInvalid

if TYPE_CHECKING:
    from apps.providers.adapters.litellm.transport import Exchange
    from apps.providers.upstream import UpstreamPool

_JSON = {"content-type": "application/json"}
_SSE = {"content-type": "text/event-stream"}


def build_request(call: Call, endpoint: Endpoint) -> UpstreamRequest:
    """What `perform` answers; litellm makes the real request."""
    return UpstreamRequest("POST", f"litellm:{call.operation}", (), call.body)


def open_stream(call: Call, endpoint: Endpoint) -> StreamReader:
    return PassThrough(call, strips_usage=not call.wants_usage)


def perform(
    call: Call, endpoint: Endpoint, pool: UpstreamPool | None
) -> AbstractAsyncContextManager[UpstreamAnswer]:
    """Raises UpstreamError for what goes wrong on the way; a provider's refusal is an answer."""
    return _perform(call, endpoint, pool)


@asynccontextmanager
async def _perform(
    call: Call, endpoint: Endpoint, pool: UpstreamPool | None
) -> AsyncIterator[UpstreamAnswer]:
    if pool is None:
        raise UpstreamForbidden("Without an upstream client nothing is sent.")
    try:
        options = read_options(endpoint.options)
    except ValueError as error:
        raise UpstreamInvalid(f"The deployment's options are not valid: {error}") from None
    try:
        asked = arguments(call, endpoint, options)
    except BadRequest as refusal:
        body = answers.error(refusal.http_status, refusal.message, refusal.public_type)
        yield LitellmAnswer(refusal.http_status, _JSON, body=body)
        return
    answer = await _ask(call, asked, await _exchange(pool, options))
    try:
        yield answer
    finally:
        answer.close()


async def _exchange(pool: UpstreamPool, options: Options) -> Exchange:
    await library.load()
    from apps.providers.adapters.litellm.transport import Exchange
    from apps.providers.upstream import Deadlines

    deadlines = Deadlines(
        connect_s=options.connect_s,
        first_byte_s=options.first_byte_s,
        idle_s=options.idle_s,
        total_s=options.total_s,
    )
    return Exchange(pool, deadlines)


async def _ask(call: Call, asked: dict[str, Any], exchange: Exchange) -> LitellmAnswer:
    from apps.providers.adapters.litellm.transport import current

    litellm = await library.load()
    function = litellm.aembedding if call.operation == "embeddings" else litellm.acompletion
    token = current.set(exchange)
    try:
        made = await function(**asked)
    except Exception as error:  # of hundreds of kinds; none may leave with its text unread
        exchange.close()
        status, body = refused(error, exchange, asked["api_key"])
        return LitellmAnswer(status, _JSON, body=body)
    except BaseException:
        exchange.close()
        raise
    finally:
        current.reset(token)
    if call.stream:
        return LitellmAnswer(200, _SSE, chunks=made, exchange=exchange, secret=asked["api_key"])
    return LitellmAnswer(200, _JSON, body=answers.whole(made), exchange=exchange)


def refused(error: Exception, exchange: Exchange, secret: str | None) -> tuple[int, bytes]:
    """Status and body for an exception of litellm's. Raises what our transport raised."""
    if exchange.failure is not None:
        raise exchange.failure from None
    status = getattr(error, "status_code", None)
    if not isinstance(status, int) or not 400 <= status <= 599:
        status = 502
    message = str(getattr(error, "message", error))
    if secret:
        message = message.replace(secret, "***")
    kind = "invalid_request_error" if status < 500 else "server_error"
    return status, answers.error(status, message, kind)


class LitellmAnswer:
    """An UpstreamAnswer made of what litellm returned."""

    def __init__(
        self,
        status: int,
        headers: dict[str, str],
        *,
        body: bytes = b"",
        chunks: Any = None,
        exchange: Exchange | None = None,
        secret: str | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self._body = body
        self._chunks = chunks.__aiter__() if chunks is not None else None
        self._exchange = exchange
        self._secret = secret

    async def next_chunk(self) -> bytes:
        """The next bytes; b"" at the end. Raises UpstreamError when the stream breaks."""
        if self._chunks is None:
            body, self._body = self._body, b""
            return body
        from apps.providers.adapters.litellm.transport import current

        token = current.set(self._exchange)
        try:
            return answers.frame(await self._chunks.__anext__())
        except StopAsyncIteration:
            self._chunks = None
            return sse.DONE
        except Exception as error:  # of hundreds of kinds, as above
            raise self._broken(error) from None
        finally:
            current.reset(token)

    async def read(self) -> bytes:
        parts = []
        while chunk := await self.next_chunk():
            parts.append(chunk)
        return b"".join(parts)

    def close(self) -> None:
        self._chunks = None
        if self._exchange is not None:
            self._exchange.close()

    def _broken(self, error: Exception) -> UpstreamError:
        assert self._exchange is not None
        status, body = refused(error, self._exchange, self._secret)
        return read_error(status, {}, body)
