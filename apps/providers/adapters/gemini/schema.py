"""JSON schemas as the OpenAPI subset that Gemini's `parameters` and `responseSchema` take.

Source: ai.google.dev/api/caching#Schema. Newer models take JSON schema as it is and skip this.
"""

from __future__ import annotations

from typing import Any

from chatvault.lib.errors import UnsupportedField

_KEPT = frozenset(
    {
        *("type", "title", "description", "format", "enum", "default", "example", "nullable"),
        *("properties", "required", "propertyOrdering", "minProperties", "maxProperties"),
        *("items", "minItems", "maxItems", "anyOf"),
        *("minimum", "maximum", "minLength", "maxLength", "pattern"),
    }
)
_FORMATS = frozenset({"enum", "date-time", "float", "double", "int32", "int64"})
_MAX_DEPTH = 32


def clean(schema: dict[str, Any], where: str) -> dict[str, Any]:
    """References are put in place, unions of types become anyOf, unknown words go.

    Raises UnsupportedField for a schema that refers to itself.
    """
    named = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    return _clean(schema, named, where, 0)


def _clean(schema: Any, named: dict[str, Any], where: str, depth: int) -> dict[str, Any]:
    if depth > _MAX_DEPTH:
        raise UnsupportedField("The schema is too deep or refers to itself.", param=where)
    if not isinstance(schema, dict):
        return {}
    if isinstance(schema.get("$ref"), str):
        target = named.get(schema["$ref"].rpartition("/")[2], {})
        rest = {word: value for word, value in schema.items() if word != "$ref"}
        return _clean({**target, **rest}, named, where, depth + 1)
    schema = _plain_unions(schema)
    cleaned = {word: value for word, value in schema.items() if word in _KEPT}
    if isinstance(cleaned.get("properties"), dict):
        fields = cleaned["properties"].items()
        cleaned["properties"] = {n: _clean(f, named, where, depth + 1) for n, f in fields}
    if "items" in cleaned:
        cleaned["items"] = _clean(cleaned["items"], named, where, depth + 1)
    if isinstance(cleaned.get("anyOf"), list):
        cleaned["anyOf"] = [_clean(one, named, where, depth + 1) for one in cleaned["anyOf"]]
    if cleaned.get("type") == "string" and cleaned.get("format") not in _FORMATS:
        cleaned.pop("format", None)
    if "enum" in cleaned:  # an enum is of strings there
        cleaned["enum"] = [str(value) for value in cleaned["enum"] if value is not None]
        cleaned["type"] = "string"
    return cleaned


def _plain_unions(schema: dict[str, Any]) -> dict[str, Any]:
    """`type` lists, oneOf, allOf of one, const and null members in the words that are known."""
    schema = dict(schema)
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if isinstance(schema.get("oneOf"), list):
        schema["anyOf"] = schema.pop("oneOf")
    if isinstance(schema.get("allOf"), list):
        for part in schema.pop("allOf"):
            schema = {**part, **schema} if isinstance(part, dict) else schema
    kinds = schema.get("type")
    if isinstance(kinds, list):
        schema.pop("type")
        solid = [kind for kind in kinds if kind != "null"]
        if "null" in kinds:
            schema["nullable"] = True
        if len(solid) == 1:
            schema["type"] = solid[0]
        elif solid:
            schema["anyOf"] = [{"type": kind} for kind in solid]
    members = schema.get("anyOf")
    if isinstance(members, list) and {"type": "null"} in members:
        solid = [member for member in members if member != {"type": "null"}]
        schema.pop("anyOf")
        if len(solid) == 1 and isinstance(solid[0], dict):
            schema = {**solid[0], **schema}
        elif solid:
            schema["anyOf"] = solid
        schema["nullable"] = True
    return schema
