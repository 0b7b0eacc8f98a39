"""Chat requests in OpenAI's format, made up by Hypothesis; all are valid."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

# No white space at the ends: what is trimmed where is a fact of its own, tested apart.
words = st.text(st.sampled_from('abc äß€😀"\\{}\n.1'), min_size=1, max_size=12).map(
    lambda text: f"x{text}x"
)
names = st.sampled_from(["get_weather", "add-2", "noop"])
PICTURE = "data:image/png;base64,iVBORw0KGgo="

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}


def tool(name: str) -> dict[str, Any]:
    parameters = {k: v for k, v in SCHEMA.items() if k != "additionalProperties"}
    function = {"name": name, "description": f"Does {name}.", "parameters": parameters}
    return {"type": "function", "function": function}


TOOLS = [tool(name) for name in ("get_weather", "add-2", "noop")]

users = st.one_of(
    words.map(lambda text: {"role": "user", "content": text}),
    st.lists(
        st.one_of(
            words.map(lambda text: {"type": "text", "text": text}),
            st.just({"type": "image_url", "image_url": {"url": PICTURE}}),
        ),
        min_size=1,
        max_size=3,
    ).map(lambda parts: {"role": "user", "content": parts}),
)
arguments = st.dictionaries(st.sampled_from(["city", "days"]), words, min_size=1)


@st.composite
def turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A question and, mostly, its answer, with calls and their results."""
    made: list[dict[str, Any]] = [draw(users)]
    kind = draw(st.sampled_from(["none", "text", "calls", "text and calls"]))
    if kind == "none":
        return made
    answer: dict[str, Any] = {"role": "assistant", "content": None}
    if "text" in kind:
        answer["content"] = draw(words)
    if "calls" in kind:
        prefix = draw(st.integers(0, 10**6))
        asked = draw(st.lists(st.tuples(names, arguments), min_size=1, max_size=3))
        # Numbered, as litellm drops a call that is equal to another one of its message.
        answer["tool_calls"] = [
            {
                "id": f"call_{prefix}_{i}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps({**told, "n": i})},
            }
            for i, (name, told) in enumerate(asked)
        ]
        made.append(answer)
        for call in answer["tool_calls"]:
            result = draw(words)
            made.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        return made
    return [*made, answer]


def _optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


choices = st.one_of(
    st.sampled_from(["auto", "none", "required"]),
    names.map(lambda name: {"type": "function", "function": {"name": name}}),
)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(words)})
    for turn in draw(st.lists(turns(), min_size=1, max_size=3)):
        messages += turn
    messages.append(draw(users))
    body: dict[str, Any] = {"model": "alias", "messages": messages}
    body |= draw(
        _optional(
            max_tokens=st.integers(1, 4000),
            temperature=st.sampled_from([0.0, 0.5, 1.0]),
            top_p=st.sampled_from([0.1, 1.0]),
            stop=st.one_of(words, st.lists(words, min_size=1, max_size=3)),
        )
    )
    has_calls = any("tool_calls" in message for message in messages)
    if has_calls or draw(st.booleans()):
        body["tools"] = TOOLS
        body |= draw(_optional(tool_choice=choices))
    elif draw(st.booleans()):
        wanted = {"name": "answer", "schema": SCHEMA, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": wanted}
    return body
