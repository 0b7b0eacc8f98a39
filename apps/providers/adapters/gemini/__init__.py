"""Google's Gemini API (Gemini Developer API, and Vertex AI's publisher endpoint)."""

from apps.providers.adapters.contract import Adapter
from apps.providers.adapters.gemini.error import read_error
from apps.providers.adapters.gemini.request import build_request
from apps.providers.adapters.gemini.response import read_answer
from apps.providers.adapters.gemini.stream import open_stream

ADAPTER = Adapter(
    family="gemini",
    build_request=build_request,
    read_answer=read_answer,
    open_stream=open_stream,
    read_error=read_error,
    operations=frozenset({"chat", "embeddings"}),
)
