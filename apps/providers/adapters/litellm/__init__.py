"""Every other provider, through the litellm library. Light: the library is loaded by a call."""

from apps.providers.adapters.contract import Adapter
from apps.providers.adapters.litellm.perform import build_request, open_stream, perform
from apps.providers.adapters.openai.error import read_error
from apps.providers.adapters.openai.response import read_answer

ADAPTER = Adapter(
    family="litellm",
    build_request=build_request,
    read_answer=read_answer,
    open_stream=open_stream,
    read_error=read_error,
    operations=frozenset({"chat", "embeddings"}),
    perform=perform,
)
