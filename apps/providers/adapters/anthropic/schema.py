"""JSON schemas as Anthropic's structured outputs take them.

Source: platform.claude.com/docs/en/build-with-claude/structured-outputs (JSON schema limitations).
"""

from __future__ import annotations

from typing import Any

_NOT_SUPPORTED = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
    }
)
_NAMED_SCHEMAS = frozenset({"properties", "$defs", "definitions"})


def clean(schema: Any) -> Any:
    """The schema without bounds that are refused there, its objects closed."""
    if isinstance(schema, list):
        return [clean(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    cleaned: dict[str, Any] = {}
    for word, value in schema.items():
        if word in _NOT_SUPPORTED or (word == "minItems" and value not in (0, 1)):
            continue
        if word in _NAMED_SCHEMAS and isinstance(value, dict):
            cleaned[word] = {name: clean(field) for name, field in value.items()}
        elif word in ("enum", "const", "default", "examples", "required"):
            cleaned[word] = value
        else:
            cleaned[word] = clean(value)
    if cleaned.get("type") == "object" or "properties" in cleaned:
        cleaned["additionalProperties"] = False
    return cleaned
