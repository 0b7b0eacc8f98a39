"""Which models an Ollama server has, asked through the guarded way out."""

import msgspec
from django.conf import settings

from apps.providers.adapters.contract import UpstreamRequest
from apps.providers.upstream import Deadlines, UpstreamPool
from chatvault.lib.errors import ChatVaultError
from chatvault.lib.http_guard import AddressGuard
from chatvault.progress import say
from chatvault.settings.upstream import ollama_base_url


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


async def models(host: str) -> list[str]:
    """Names of the models at `host`; none, and a line that says why, when it does not answer."""
    if not host:
        return []
    base_url = ollama_base_url(host)
    pool = UpstreamPool(AddressGuard(settings.CHATVAULT.upstream.private_hosts))
    request = UpstreamRequest("GET", f"{base_url}/models", (("accept", "application/json"),), b"")
    try:
        response = await pool.send(request, Deadlines(1.0, 2.0, 2.0, 3.0))
        body = await response.read()
        return [model.id for model in msgspec.json.decode(body, type=_Models).data]
    except (ChatVaultError, msgspec.DecodeError) as error:
        say(f"Ollama at {base_url} told no models ({error}); add them in the admin")
        return []
    finally:
        await pool.close()
