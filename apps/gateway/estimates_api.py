"""POST /api/v1/cost/estimate: what a request, or so many tokens, would cost on each model."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec
from django.http import Http404
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.api.fields import StrictSerializer
from apps.accounts.api.rows import REFUSALS, caller_of
from apps.accounts.models import Client
from apps.accounts.principals import Principal
from apps.accounts.roles import Capability
from apps.billing.pricing import MAX_TOKENS, Line
from apps.gateway import estimate_shapes as shapes
from apps.gateway import serializers as openai
from apps.gateway.contracts import GatewayRequest
from apps.gateway.estimates import (
    Amounts,
    Catalogue,
    Estimate,
    ModelEstimate,
    Wish,
    of_counts,
    of_request,
)
from apps.gateway.steps.receive import receive
from apps.providers.adapters.contract import Operation
from chatvault.lib import clock
from chatvault.lib.errors import BadRequest, BodyTooLarge, InvalidField, MalformedJson
from chatvault.lib.ids import uuid7_bytes
from chatvault.lib.money import usd_from_nano

MOST_BYTES: Final = 20 * 2**20
_PEOPLE: Final = ("person", "jwt")
_MOST_ID: Final = 2**63 - 1
_BY_FIELD: Final[dict[str, Operation]] = {
    "messages": "chat",
    "prompt": "completions",
    "input": "embeddings",
}


class AskedSerializer(StrictSerializer):
    """In the address, so that the body can be a request as it would be sent."""

    model = serializers.CharField(
        max_length=2000,
        required=False,
        help_text="Names of models, with commas between them; `*`: every model that the client "
        "may use. Without it the body's own model.",
    )
    client = serializers.IntegerField(
        min_value=1,
        max_value=_MOST_ID,
        required=False,
        help_text="By whose prices; a key and a token of a client have only their own.",
    )
    service_tier = serializers.RegexField(
        r"^[a-z0-9][a-z0-9_.-]{0,31}$",
        required=False,
        default="",
        help_text="How it would be served, such as `batch`, where the price knows it.",
    )


@extend_schema_field(
    {
        "oneOf": [
            {"type": "integer", "minimum": 0},
            {
                "type": "object",
                "properties": {name: {"type": "integer"} for name in ("min", "expected", "max")},
            },
        ]
    }
)
class RangeField(serializers.Field[Any, Any, Any, Any]):
    """A count, or an object of `min`, `expected` and `max`."""

    def to_internal_value(self, data: Any) -> tuple[int, int, int]:
        if isinstance(data, dict):
            unknown = sorted(set(data) - {"min", "expected", "max"})
            if unknown or not data:
                raise serializers.ValidationError("A range has 'min', 'expected' and 'max'.")
            known = [_count(data[name]) for name in ("min", "expected", "max") if name in data]
            least, most = _count(data.get("min", known[0])), _count(data.get("max", known[-1]))
            expected = _count(data.get("expected", (least + most) // 2))
        else:
            least = expected = most = _count(data)
        if not least <= expected <= most:
            raise serializers.ValidationError("It must be: min ≤ expected ≤ max.")
        return least, expected, most

    def to_representation(self, value: Any) -> Any:
        return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_TOKENS:
        raise serializers.ValidationError(f"A count is a whole number from 0 to {MAX_TOKENS:,}.")
    return value


def _tokens(help_text: str = "") -> Any:
    return serializers.IntegerField(
        min_value=0, max_value=MAX_TOKENS, required=False, help_text=help_text
    )


class CountsSerializer(StrictSerializer):
    """Token counts. Whole counts include their parts."""

    model = serializers.CharField(max_length=200, required=False)
    input_tokens = RangeField(help_text="A count, or an object of `min`, `expected`, `max`.")
    output_tokens = RangeField(
        required=False,
        help_text="Left out: from the client's own history on the model, and at the most what "
        "the model can.",
    )
    cached_input_tokens = _tokens("Of the input: read from the provider's cache.")
    cache_write_tokens = _tokens("Of the input: written to it.")
    cache_write_1h_tokens = _tokens("Of the input: written to it for an hour.")
    audio_input_tokens = _tokens("Of the input.")
    image_input_tokens = _tokens("Of the input.")
    reasoning_tokens = _tokens("Of the output.")
    audio_output_tokens = _tokens("Of the output.")
    image_output_tokens = _tokens("Of the output.")
    images = _tokens("Pieces that are billed each.")
    searches = _tokens("Pieces that are billed each.")
    duration_ms = _tokens("Of what is billed by time.")


class CostEstimateView(APIView):
    """Any caller that may call models or see billing; nothing is kept of the body."""

    changes_nothing = True

    @property
    def capabilities(self) -> dict[str, Capability]:
        """Either of the two."""
        who = getattr(getattr(self, "request", None), "user", None)
        if isinstance(who, Principal) and not who.may_somewhere(Capability.INFERENCE):
            return {"POST": Capability.BILLING_READ}
        return {"POST": Capability.INFERENCE}

    @extend_schema(
        tags=["Estimates"],
        summary="What a request, or so many tokens, would cost on each model",
        description="The body is a request of OpenAI's chat completions, completions or "
        "embeddings, as it would be sent, or an object of token counts. Nothing is sent to a "
        "provider, nothing is recorded.",
        parameters=[AskedSerializer],
        request=PolymorphicProxySerializer(
            component_name="CostEstimateRequest",
            serializers=[
                openai.ChatCompletionRequestSerializer,
                openai.CompletionRequestSerializer,
                openai.EmbeddingRequestSerializer,
                CountsSerializer,
            ],
            resource_type_field_name=None,
        ),
        responses={200: shapes.CostEstimateSerializer, **REFUSALS},
    )
    def post(self, request: Request) -> Response:
        asked = AskedSerializer(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        body = request._request.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            raise BodyTooLarge(f"The body is larger than {MOST_BYTES // 2**20} MiB.")
        who = caller_of(request)
        client = _client_of(who, given.get("client"))
        catalogue = Catalogue(client, who.key_id)
        found = _estimates(body, given, catalogue)
        sees_costs = who.may(Capability.BILLING_READ, client.team_id)
        document = {
            "object": "chatvault.cost_estimate",
            "client": client.pk,
            "currency": "USD",
            "at": clock.now(),
            "configuration": catalogue.revision,
            "results": [_told(one, sees_costs=sees_costs) for one in found],
        }
        return Response(shapes.CostEstimateSerializer(document).data)


def _client_of(who: Principal, client_id: int | None) -> Client:
    """Its own of a machine; of a person the one that is named. Raises Http404 for all others."""
    if who.client_id is not None and who.kind not in _PEOPLE:
        if client_id not in (None, who.client_id):
            raise Http404
        client_id = who.client_id
    client_id = client_id or who.client_id
    if client_id is None:
        raise InvalidField("Say by whose prices: the id of a client.", param="client")
    client = Client.objects.select_related("team", "tier").filter(pk=client_id).first()
    if client is None:
        raise Http404
    wanted = (Capability.BILLING_READ, Capability.INFERENCE)
    if client_id != who.client_id and not any(who.may(one, client.team_id) for one in wanted):
        raise Http404
    return client


def _estimates(body: bytes, given: dict[str, Any], catalogue: Catalogue) -> list[ModelEstimate]:
    operation = _operation_of(body)
    tier = given["service_tier"]
    if operation is None:
        counts = CountsSerializer(data=_decoded(body))
        counts.is_valid(raise_exception=True)
        values = dict(counts.validated_data)
        names = _names(given.get("model") or values.pop("model", "*"), catalogue)
        values.pop("model", None)
        wish = Wish(values.pop("input_tokens"), values.pop("output_tokens", None), values, tier)
        return of_counts(wish, names, catalogue)
    request = GatewayRequest(
        id=uuid7_bytes(),
        operation=operation,
        body=body,
        started=clock.monotonic(),
        accept_ms=clock.wall_ns() // 1_000_000,
    )
    receive(request)
    names = _names(given.get("model") or request.alias, catalogue)
    return of_request(request, names, catalogue, tier)


def _names(given: str, catalogue: Catalogue) -> list[str]:
    if given == "*":
        return catalogue.names()
    return list(dict.fromkeys(name for name in given.split(",") if name))


def _operation_of(body: bytes) -> Operation | None:
    """By the field that only this kind of request has; None: token counts. Raises MalformedJson."""
    fields = _decoded(body)
    return next((kind for name, kind in _BY_FIELD.items() if name in fields), None)


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedJson from None
    if not isinstance(fields, dict):
        raise BadRequest("The body must be a JSON object.")
    return fields


def _told(found: ModelEstimate, *, sees_costs: bool) -> dict[str, Any]:
    charges = [one.charge for one in found.deployments if one.charge is not None]
    is_priced = bool(charges) and len(charges) == len(found.deployments)
    return {
        "model": found.offer.alias.name,
        "tokens": {
            "input": {"expected": found.expected_input, "max": found.most_input},
            "output": {
                "min": found.least_output,
                "expected": found.expected_output,
                "max": found.most_output,
            },
            "history": (
                None
                if found.history is None
                else {
                    "requests": found.history.requests,
                    "median_output_tokens": found.history.output_tokens,
                }
            ),
        },
        "is_priced": is_priced,
        "note": "" if is_priced else _note(found),
        "charge": _usd(_over(charges)) if charges else None,
        "deployments": [
            _deployment(one, place, sees_costs=sees_costs)
            for place, one in enumerate(found.deployments, 1)
        ],
    }


def _note(found: ModelEstimate) -> str:
    if not found.deployments:
        return "The model has no active deployment."
    return "A deployment has no price in the client's price book: what it costs is not known."


def _deployment(one: Estimate, place: int, *, sees_costs: bool) -> dict[str, Any]:
    price, deployment = one.candidate.price, one.candidate.deployment
    return {
        "order": place,
        "deployment": deployment.name,
        "upstream_model": deployment.model,
        "is_priced": price is not None,
        "price_version": price.id if price is not None else None,
        "charge": _usd(one.charge) if one.charge is not None else None,
        "cost": _usd(one.cost) if one.cost is not None and sees_costs else None,
        "formula": [_line(line) for line in one.lines] if sees_costs else [],
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "side": line.side,
        "what": line.what,
        "quantity": line.quantity,
        "rate_usd": usd_from_nano(line.rate_nano),
        "per": line.per,
        "factor": Decimal(line.factor_ppm).scaleb(-6),
        "amount_usd": f"{line.usd.normalize():f}",
    }


def _over(amounts: list[Amounts]) -> Amounts:
    """Of all deployments: the least and the most; expected is that of the first in order."""
    return Amounts(
        min(one.least for one in amounts), amounts[0].expected, max(one.most for one in amounts)
    )


def _usd(amounts: Amounts) -> dict[str, Decimal | None]:
    expected = amounts.expected
    return {
        "min_usd": usd_from_nano(amounts.least),
        "expected_usd": usd_from_nano(expected) if expected is not None else None,
        "max_usd": usd_from_nano(amounts.most),
    }
