"""The families by name; a family's code is loaded when it is first asked for."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from apps.providers.adapters.contract import Adapter

FAMILIES: dict[str, str] = {
    "openai": "OpenAI and every vendor that speaks its format (Azure, Groq, Mistral, vLLM, …)",
    "anthropic": "Anthropic's Messages API",
    "gemini": "Google's Gemini API",
    "litellm": "Any other provider, through the litellm library (slower, loaded when used)",
    "demo": "Built in: answers deterministically, without a network or a key",
}


class UnknownFamily(ValueError):
    """There is no such family of providers."""


@cache
def get_adapter(family: str) -> Adapter:
    """The family's adapter. Raises UnknownFamily; nothing is ever passed through unknown."""
    if family not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise UnknownFamily(f"There is no provider family {family!r}; there are: {known}.")
    module = import_module(f"apps.providers.adapters.{family}")
    adapter: Adapter = module.ADAPTER
    return adapter


def find_option_error(family: str, options: dict[str, object]) -> str | None:
    """Why these are no options of the family, naming the field; None if they are valid.

    Raises UnknownFamily.
    """
    get_adapter(family)
    module = import_module(f"apps.providers.adapters.{family}.options")
    try:
        module.read_options(options)
    except ValueError as error:
        return str(error)
    return None
