"""Every setting is typed, explained and on the page that users read."""

import dataclasses

import pytest

from chatvault.settings.section import Section, variables_of
from chatvault.settings.sections import Sections
from tests.architecture.source import ROOT

PAGE = ROOT / "docs/configuration.md"
UNITS = ("_s", "_ms", "_mib", "_kib", "_tokens")


def _sections() -> list[type[Section]]:
    found = [field.default_factory for field in dataclasses.fields(Sections)]
    return [section for section in found if isinstance(section, type)]


def _fields() -> list[tuple[type[Section], str]]:
    return [(section, name) for section in _sections() for name in section.model_fields]


@pytest.mark.parametrize(("section", "name"), _fields())
def test_is_explained(section: type[Section], name: str) -> None:
    assert section.model_fields[name].description
    assert section.__doc__


@pytest.mark.parametrize(("section", "name"), _fields())
def test_is_on_the_page(section: type[Section], name: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"`{variable}`" in page for variable in variables_of(section, name))


def test_the_page_is_what_the_code_says() -> None:
    from scripts.write_reference import configuration_page

    assert PAGE.read_text(encoding="utf-8") == configuration_page()


def test_durations_and_sizes_say_their_unit() -> None:
    wrong = [
        f"{section.__name__}.{name}"
        for section, name in _fields()
        if any(word in name for word in ("timeout", "interval", "expiry", "keepalive"))
        if not name.endswith(UNITS)
    ]
    assert wrong == []


def test_the_page_of_roles_is_what_the_code_says() -> None:
    from scripts.write_roles import roles_page

    assert (ROOT / "docs/roles.md").read_text() == roles_page()
