"""OpenAI and every vendor that speaks its format: bytes pass through."""

from apps.providers.adapters.contract import Adapter
from apps.providers.adapters.openai.error import read_error
from apps.providers.adapters.openai.request import build_request
from apps.providers.adapters.openai.response import read_answer
from apps.providers.adapters.openai.stream import open_stream

ADAPTER = Adapter(
    family="openai",
    build_request=build_request,
    read_answer=read_answer,
    open_stream=open_stream,
    read_error=read_error,
    operations=frozenset({"chat", "completions", "embeddings"}),
)
