"""From the client's request to the vendor's: the model, the cap, and the wish for usage.

Members are copied as raw bytes, so that what we do not know survives. The object is always
written anew: of a member that is sent twice only the one that was checked goes out.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from apps.providers.adapters.contract import Call, Endpoint, UpstreamRequest
from apps.providers.adapters.openai.options import (
    Auth,
    MaxTokensField,
    Options,
    StreamUsage,
    read_options,
    vendor_of,
)
from chatvault.lib.errors import InvalidField, MalformedJson, UpstreamInvalid

Members = dict[str, msgspec.Raw]

_PATHS = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "embeddings": "/embeddings",
}
_decode = msgspec.json.Decoder(Members).decode
_encode = msgspec.json.encode
_ASK_USAGE = msgspec.Raw(b'{"include_usage":true}')
_TRUE = msgspec.Raw(b"true")
_MAX_PLANS = 4096
# Some servers read names whatever their case, so that "Model" would override what was checked.
_CHECKED = frozenset(
    {"model", "n", "best_of", "max_tokens", "max_completion_tokens", "stream", "stream_options"}
)


class Plan(msgspec.Struct, frozen=True):
    """What is the same for every request to an endpoint."""

    endpoint: Endpoint  # kept, so that its id is not given to another one
    headers: tuple[tuple[str, str], ...]
    urls: dict[str, str]
    model: msgspec.Raw
    stream_usage: StreamUsage
    max_tokens_field: MaxTokensField | None

    def __repr__(self) -> str:
        return f"Plan({self.endpoint!r})"  # headers hold the secret


_plans: dict[int, Plan] = {}


def plan_for(endpoint: Endpoint) -> Plan:
    """The endpoint's plan, made once. Raises UpstreamInvalid if its options are no options."""
    plan = _plans.get(id(endpoint))
    if plan is not None and plan.endpoint is endpoint:
        return plan
    plan = _make_plan(endpoint)
    if len(_plans) >= _MAX_PLANS:
        _plans.clear()
    _plans[id(endpoint)] = plan
    return plan


def build_request(call: Call, endpoint: Endpoint) -> UpstreamRequest:
    """Raises MalformedJson or InvalidField for a body that is not an object of OpenAI's."""
    plan = plan_for(endpoint)
    try:
        members = _decode(call.body)
    except (msgspec.DecodeError, RecursionError):
        raise MalformedJson from None
    for name in members:
        if not name.islower() and name.lower() in _CHECKED:
            raise InvalidField(f"'{name}' must be written '{name.lower()}'.", param=name)
    members["model"] = plan.model
    if call.operation != "embeddings":
        if call.max_output_tokens is not None:
            _cap(members, call, plan.max_tokens_field)
        elif plan.max_tokens_field == "max_tokens" and "max_completion_tokens" in members:
            # The vendor does not know the newer name.
            members["max_tokens"] = members.pop("max_completion_tokens")
        if call.stream:
            _ask_usage(members, call, plan.stream_usage)
    return UpstreamRequest("POST", plan.urls[call.operation], plan.headers, _encode(members))


def _cap(members: Members, call: Call, field: MaxTokensField | None) -> None:
    cap = msgspec.Raw(b"%d" % (call.max_output_tokens or 0))
    if call.operation == "completions":
        members["max_tokens"] = cap
        return
    sent = [name for name in ("max_completion_tokens", "max_tokens") if name in members]
    for name in sent:
        del members[name]
    for name in [field] if field else sent or ["max_tokens"]:
        members[name] = cap


def _ask_usage(members: Members, call: Call, stream_usage: StreamUsage) -> None:
    if stream_usage != "ask":  # the vendor does not know the field
        members.pop("stream_options", None)
        return
    if call.wants_usage:
        return
    own = members.get("stream_options")
    if own is None or bytes(own) == b"null":
        members["stream_options"] = _ASK_USAGE
        return
    try:
        wishes = _decode(own)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidField("It must be an object.", param="stream_options") from None
    wishes["include_usage"] = _TRUE
    members["stream_options"] = msgspec.Raw(_encode(wishes))


def _make_plan(endpoint: Endpoint) -> Plan:
    try:
        options = read_options(endpoint.options)
    except ValueError as error:  # msgspec's ValidationError is one
        raise UpstreamInvalid(f"The deployment's options are not valid: {error}") from None
    vendor = vendor_of(options, endpoint.base_url)
    return Plan(
        endpoint=endpoint,
        headers=_headers(endpoint, options, options.auth or vendor.auth),
        urls={name: _url(endpoint, options, name) for name in _PATHS},
        model=msgspec.Raw(_encode(endpoint.model)),
        stream_usage=options.stream_usage or vendor.stream_usage,
        max_tokens_field=options.max_tokens_field or vendor.max_tokens_field,
    )


def _headers(endpoint: Endpoint, options: Options, auth: Auth) -> tuple[tuple[str, str], ...]:
    headers = [("content-type", "application/json"), ("user-agent", "chatvault")]
    if endpoint.secret and auth == "bearer":
        headers.append(("authorization", f"Bearer {endpoint.secret.reveal()}"))
    elif endpoint.secret and auth == "api-key":
        headers.append(("api-key", endpoint.secret.reveal()))
    if options.organization:
        headers.append(("openai-organization", options.organization))
    if options.project:
        headers.append(("openai-project", options.project))
    return tuple(headers)


def _url(endpoint: Endpoint, options: Options, operation: str) -> str:
    path = options.paths.get(operation, _PATHS[operation])  # type: ignore[call-overload]
    if options.api_version is None:
        return f"{endpoint.base_url}{path}"
    version = quote(options.api_version, safe="")
    model = quote(endpoint.model, safe="")
    return f"{endpoint.base_url}/openai/deployments/{model}{path}?api-version={version}"
