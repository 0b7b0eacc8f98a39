"""A small value that satisfies a JSON schema (the common part of draft 2020-12)."""

from __future__ import annotations

from typing import Any

_MAX_DEPTH = 12
_MAX_LENGTH = 1000
_PATTERNS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "demo@example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.com/",
}


def example_of(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """Deterministic. Beyond 12 levels, and for what is no schema, it is null."""
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return None
    root = schema if root is None else root
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    if isinstance(schema.get("$ref"), str):
        return example_of(_resolve(schema["$ref"], root), root, depth + 1)
    for word in ("anyOf", "oneOf"):
        if isinstance(schema.get(word), list) and schema[word]:
            return example_of(schema[word][0], root, depth + 1)
    if isinstance(schema.get("allOf"), list):
        return example_of(_merged(schema, root), root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: dict[str, Any], root: Any, depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    if kind == "object" or (kind is None and "properties" in schema):
        fields = schema.get("properties")
        fields = fields if isinstance(fields, dict) else {}
        return {name: example_of(field, root, depth + 1) for name, field in fields.items()}
    if kind == "array":
        count = min(max(_count(schema, "minItems"), 1), _MAX_LENGTH)
        return [example_of(schema.get("items"), root, depth + 1)] * count
    if kind == "string":
        return _text(schema)
    if kind in ("integer", "number"):
        return _number(schema)
    return True if kind == "boolean" else None


def _text(schema: dict[str, Any]) -> str:
    text = _PATTERNS.get(str(schema.get("format")), "demo")
    text = text.ljust(min(_count(schema, "minLength"), _MAX_LENGTH), ".")
    longest = schema.get("maxLength")
    return text[:longest] if isinstance(longest, int) and longest >= 0 else text


def _number(schema: dict[str, Any]) -> int | float:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    step = 1 if "exclusiveMinimum" in schema and "minimum" not in schema else 0
    if isinstance(low, int | float) and low + step > 0:
        return low + step
    if isinstance(high, int | float) and high <= 0:
        return high - (1 if "exclusiveMaximum" in schema else 0)
    return 1 if not isinstance(high, int | float) or high >= 1 else 0


def _count(schema: dict[str, Any], word: str) -> int:
    value = schema.get(word)
    return value if isinstance(value, int) and value > 0 else 0


def _resolve(reference: str, root: Any) -> Any:
    found = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        if part:
            found = found.get(part) if isinstance(found, dict) else None
    return found


def _merged(schema: dict[str, Any], root: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {k: v for k, v in schema.items() if k != "allOf"}
    for part in schema["allOf"]:
        if isinstance(part, dict) and isinstance(part.get("$ref"), str):
            part = _resolve(part["$ref"], root)  # noqa: PLW2901
        if isinstance(part, dict):
            fields = {**merged.get("properties", {}), **part.get("properties", {})}
            merged = {**merged, **part}
            if fields:
                merged["properties"] = fields
    return merged
