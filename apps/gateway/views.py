"""The DRF door: the same endpoints for the OpenAPI description, DRF's client and plain WSGI.

It holds no rules: bodies are handed on unparsed and answers come from the same pipeline.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.gateway import bridge, lifecycle
from apps.gateway import serializers as shapes
from apps.gateway.contracts import Headers
from apps.gateway.dry_run_shapes import DRY_RUN, TAGS, or_dry_run
from apps.gateway.http import PROBES

KEY: Any = [{"ApiKey": []}]
REFUSALS = {
    status: OpenApiResponse(shapes.ErrorSerializer, description=text)
    for status, text in (
        (400, "The request is not valid; `param` names the field."),
        (401, "The key is missing or not valid."),
        (402, "The budget cannot cover the request (`budget_exhausted`), or it has no price."),
        (403, "The key may not use this model, or is disabled."),
        (404, "There is no such model."),
        (413, "The body is too large."),
        (429, "A rate limit is reached; `retry-after` says how long to wait."),
        (502, "The provider failed."),
        (503, "No deployment is available."),
        (504, "The provider did not answer in time."),
    )
}


class GatewayView(APIView):
    """Hands the request on as bytes. The pipeline authenticates, so DRF does not."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def hand_on(self, request: Request) -> HttpResponseBase:
        django_request = request._request
        body: bytes | None = b""
        if django_request.method == "POST":
            most = bridge.most_body_bytes()
            body = django_request.read(most + 1)
            body = None if len(body) > most else body
        return bridge.respond(
            django_request.path,
            django_request.method or "GET",
            _headers(django_request),
            body,
            django_request.META.get("REMOTE_ADDR") or "",
        )

    def http_method_not_allowed(  # type: ignore[override]
        self, request: Request, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        return self.hand_on(request)


class ChatCompletionsView(GatewayView):
    @extend_schema(
        operation_id="createChatCompletion",
        summary="Create a chat completion",
        description="OpenAI's chat completions. With `stream` the answer is a stream of "
        "`chat.completion.chunk` events that ends with `data: [DONE]`. Fields that are not "
        "described here go to the provider untouched.",
        tags=["Inference"],
        auth=KEY,
        parameters=[DRY_RUN, TAGS],
        request=shapes.ChatCompletionRequestSerializer,
        responses={200: or_dry_run(shapes.ChatCompletionSerializer), **REFUSALS},
    )
    def post(self, request: Request) -> HttpResponseBase:
        return self.hand_on(request)


class CompletionsView(GatewayView):
    @extend_schema(
        operation_id="createCompletion",
        summary="Create a completion",
        description="OpenAI's legacy completions.",
        tags=["Inference"],
        auth=KEY,
        parameters=[DRY_RUN, TAGS],
        request=shapes.CompletionRequestSerializer,
        responses={200: or_dry_run(shapes.CompletionSerializer), **REFUSALS},
    )
    def post(self, request: Request) -> HttpResponseBase:
        return self.hand_on(request)


class EmbeddingsView(GatewayView):
    @extend_schema(
        operation_id="createEmbedding",
        summary="Create embeddings",
        description="OpenAI's embeddings.",
        tags=["Inference"],
        auth=KEY,
        parameters=[DRY_RUN, TAGS],
        request=shapes.EmbeddingRequestSerializer,
        responses={200: or_dry_run(shapes.EmbeddingListSerializer), **REFUSALS},
    )
    def post(self, request: Request) -> HttpResponseBase:
        return self.hand_on(request)


class ModelListView(GatewayView):
    @extend_schema(
        operation_id="listModels",
        summary="List models",
        description="The models that the key may use.",
        tags=["Models"],
        auth=KEY,
        responses={200: shapes.ModelListSerializer, 401: REFUSALS[401]},
    )
    def get(self, request: Request) -> HttpResponseBase:
        return self.hand_on(request)


class ModelView(GatewayView):
    @extend_schema(
        operation_id="retrieveModel",
        summary="Retrieve a model",
        tags=["Models"],
        auth=KEY,
        parameters=[OpenApiParameter("model", str, OpenApiParameter.PATH)],
        responses={200: shapes.ModelSerializer, 401: REFUSALS[401], 404: REFUSALS[404]},
    )
    def get(self, request: Request, model: str) -> HttpResponseBase:
        return self.hand_on(request)


@extend_schema(exclude=True)
class UnknownView(GatewayView):
    """Whatever else is below /v1/: refused by the pipeline, in its own error shape."""


class ProbeView(APIView):
    """/livez and /readyz under WSGI."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(
        tags=["Health"],
        summary="Probe",
        auth=[],
        responses={200: shapes.ProbeSerializer, 503: shapes.ProbeSerializer},
    )
    def get(self, request: Request) -> HttpResponse:
        path = request.path
        plane = bridge.plane() if path == "/readyz" else lifecycle.running()
        status, head, body = PROBES[path](plane, {"client": None})
        response = HttpResponse(body, status=status)
        for name, value in head:
            if name != b"content-length":
                response[name.decode()] = value.decode()
        return response


def _headers(request: Any) -> Headers:
    """As the server got them, lower-case; Django joins none of those that we read."""
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in request.headers.items()
    ]
