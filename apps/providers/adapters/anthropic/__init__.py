"""Anthropic's Messages API."""

from apps.providers.adapters.anthropic.error import read_error
from apps.providers.adapters.anthropic.request import build_request
from apps.providers.adapters.anthropic.response import read_answer
from apps.providers.adapters.anthropic.stream import open_stream
from apps.providers.adapters.contract import Adapter

ADAPTER = Adapter(
    family="anthropic",
    build_request=build_request,
    read_answer=read_answer,
    open_stream=open_stream,
    read_error=read_error,
)
