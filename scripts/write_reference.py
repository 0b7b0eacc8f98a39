"""Writes the pages of docs/ that say what the code says: configuration and errors."""

import dataclasses
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pydantic import SecretStr  # noqa: E402
from pydantic.fields import FieldInfo  # noqa: E402

from chatvault.lib.errors import ChatVaultError  # noqa: E402
from chatvault.settings.section import Section, variables_of  # noqa: E402
from chatvault.settings.sections import Sections  # noqa: E402
from scripts import write_capacity, write_roles  # noqa: E402

_CONFIGURATION = """# Configuration

Settings come from the environment and from nowhere else. Every variable may also be given as
`<NAME>_FILE`: the path of a file whose content, without the white space around it, is the value.
An empty variable counts as not given. Lists are written with commas. A wrong value stops the
start with a sentence that names the variable.

Secrets that nobody gives are made at the first start and kept in `secrets/` in the state folder.

This page is written by `make docs`; a test holds it to the code.
"""

_ERRORS = """# Errors

Every refusal has OpenAI's error object, `{"error": {"message", "type", "param", "code"}}`. Branch
on `code`: codes are stable. `x-should-retry: false` means that the same request will fail again.

| Status | Type | Code | Meaning |
|---|---|---|---|
"""

_AFTER_ERRORS = """
`upstream_refused` stands for an error of the provider itself: status, type and code are the
provider's where they are safe to pass on. A spent budget answers 402, or 429 as OpenAI does with
`CHATVAULT_GATEWAY_BUDGET_EXHAUSTED_STATUS=429`.

This page is written by `make docs`; a test holds it to the code.
"""


def configuration_page() -> str:
    """docs/configuration.md, one table for each section."""
    parts = [_CONFIGURATION]
    for field in dataclasses.fields(Sections):
        section = field.default_factory
        if isinstance(section, type) and issubclass(section, Section):
            parts.append(_section(field.name, section))
    return "\n".join(parts)


def _section(name: str, section: type[Section]) -> str:
    lines = [f"## {name}\n", inspect.cleandoc(section.__doc__ or "") + "\n"]
    lines += ["| Variable | Default | Meaning |", "|---|---|---|"]
    for field_name, field in section.model_fields.items():
        names = " or ".join(f"`{variable}`" for variable in variables_of(section, field_name))
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        lines.append(f"| {names} | {_default(field)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value in (None, "", ()):
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        value = ",".join(value)
    return f"`{value}`"


def errors_page() -> str:
    """docs/errors.md, one row for each error that clients can meet."""
    rows = [
        f"| {error.status} | `{error.type}` | `{error.code}` | {_meaning(error)} |"
        for error in sorted(_tree(ChatVaultError), key=lambda e: (e.status, e.code))
    ]
    return _ERRORS + "\n".join(dict.fromkeys(rows)) + "\n" + _AFTER_ERRORS


def _tree(error: type[ChatVaultError]) -> Iterator[type[ChatVaultError]]:
    if "code" in vars(error):
        yield error
    for child in error.__subclasses__():
        if child.__module__.startswith("chatvault."):
            yield from _tree(child)


def _meaning(error: type[ChatVaultError]) -> str:
    return error.default_message.replace("|", "\\|")


def main() -> None:
    (ROOT / "docs/configuration.md").write_text(configuration_page(), encoding="utf-8")
    (ROOT / "docs/errors.md").write_text(errors_page(), encoding="utf-8")
    write_capacity.main()
    write_roles.main()


if __name__ == "__main__":
    main()
