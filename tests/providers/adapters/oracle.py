"""litellm's own transformations, which ours are compared with. Importing it takes seconds."""

from __future__ import annotations

import copy
import json
import logging
import os
from typing import Any
from unittest.mock import MagicMock

import httpx

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("LITELLM_MODE", "PRODUCTION")

import litellm
from litellm.llms.anthropic.chat import handler as anthropic_handler
from litellm.llms.anthropic.chat.transformation import AnthropicConfig
from litellm.llms.gemini.chat.transformation import GoogleAIStudioGeminiConfig
from litellm.llms.vertex_ai.gemini import transformation as gemini_requests
from litellm.llms.vertex_ai.gemini import (
    vertex_and_google_ai_studio_gemini as gemini_answers,
)
from litellm.types.utils import ModelResponse

litellm.suppress_debug_info = True
logging.getLogger("LiteLLM").disabled = True


def anthropic_request(body: dict[str, Any], model: str) -> dict[str, Any]:
    body = copy.deepcopy(body)
    messages = body.pop("messages")
    body.pop("model", None)
    config = AnthropicConfig()
    mapped = config.map_openai_params(body, {}, model, drop_params=False)
    return config.transform_request(model, messages, mapped, {}, {})


def gemini_request(body: dict[str, Any], model: str) -> dict[str, Any]:
    body = copy.deepcopy(body)
    messages = body.pop("messages")
    body.pop("model", None)
    mapped = GoogleAIStudioGeminiConfig().map_openai_params(body, {}, model, drop_params=False)
    made = gemini_requests.transform_request_body(messages, model, mapped, "gemini", {}, None)
    return json.loads(json.dumps(made))


def anthropic_answer(body: bytes) -> dict[str, Any]:
    answer = AnthropicConfig().transform_parsed_response(
        json.loads(body), httpx.Response(200, content=body), ModelResponse()
    )
    return answer.model_dump()


def gemini_answer(body: bytes) -> dict[str, Any]:
    config = gemini_answers.VertexGeminiConfig()
    answer = config._transform_google_generate_content_to_openai_model_response(
        json.loads(body),
        ModelResponse(),
        "gemini",
        MagicMock(optional_params={}),
        httpx.Response(200, content=body),
    )
    return answer.model_dump()


def anthropic_chunks(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    reader = anthropic_handler.ModelResponseIterator(iter(()), sync_stream=True)
    return [reader.chunk_parser(event).model_dump() for event in events]


def gemini_chunks(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    log = MagicMock(optional_params={})
    reader = gemini_answers.ModelResponseIterator(iter(()), sync_stream=True, logging_obj=log)
    return [reader.chunk_parser(event).model_dump() for event in events]
