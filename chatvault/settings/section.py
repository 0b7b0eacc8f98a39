"""What all sections of the settings share: where a value comes from and how a wrong one is told.

A field `name` of a section with the prefix `CHATVAULT_UPSTREAM_` is read from the environment
variable `CHATVAULT_UPSTREAM_NAME`, or from the file that `CHATVAULT_UPSTREAM_NAME_FILE` names
(its content, stripped). `named(...)` gives a field other names, tried in order, and may name a
file in `<home>/secrets/` that is read last: the first run keeps generated secrets there.
"""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from chatvault.home import home_from_environment
from chatvault.refusal import Refusal


def split_by_commas(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


CommaList = Annotated[tuple[str, ...], BeforeValidator(split_by_commas)]
"""A tuple that the environment writes with commas: `a,b`."""


def named(*names: str, default: Any = ..., kept: str | None = None) -> Any:
    """A field read from these variables instead of `<prefix><FIELD>`, or from `secrets/<kept>`."""
    return Field(default, json_schema_extra={"env": list(names), "kept": kept})


def variables_of(section: type["Section"], field_name: str) -> tuple[str, ...]:
    """The environment variables of a field, without their `_FILE` twins, first wins."""
    extra = section.model_fields[field_name].json_schema_extra
    if isinstance(extra, dict) and isinstance(names := extra.get("env"), list):
        return tuple(str(name) for name in names)
    prefix = section.model_config.get("env_prefix") or ""
    return (f"{prefix}{field_name}".upper(),)


class _EnvironmentOrFile(PydanticBaseSettingsSource):
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        section = self.settings_cls
        assert issubclass(section, Section)
        for variable in variables_of(section, field_name):
            if value := os.environ.get(variable):
                return value, field_name, False
            if path := os.environ.get(f"{variable}_FILE"):
                return _content(Path(path), f"{variable}_FILE"), field_name, False
        return self._kept(field), field_name, False

    def _kept(self, field: FieldInfo) -> str | None:
        extra = field.json_schema_extra
        if not isinstance(extra, dict) or not extra.get("kept"):
            return None
        path = home_from_environment() / "secrets" / str(extra["kept"])
        return _content(path, str(path)) if path.exists() else None

    def __call__(self) -> dict[str, Any]:
        found = (
            (name, self.get_field_value(field, name)[0])
            for name, field in self.settings_cls.model_fields.items()
        )
        return {name: value for name, value in found if value is not None}


def _content(path: Path, named_by: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise Refusal(f"The file of {named_by} cannot be read ({reason}).") from None


def _sentences(section: type["Section"], error: ValidationError) -> list[str]:
    # no input and no context: a value may be a secret that landed in the wrong variable
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return [f"The setting {_place(section, p['loc'])} is wrong: {p['msg']}." for p in problems]


def _place(section: type["Section"], path: tuple[int | str, ...]) -> str:
    name = str(path[0]) if path else ""
    if name in section.model_fields:
        return " or ".join(variables_of(section, name))
    return name or section.__name__


class Section(BaseSettings):
    """One topic of the settings: immutable, typed, read once at start."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )

    def __init__(self, **values: Any) -> None:
        """Raises Refusal, which names every wrong variable but never a value."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise Refusal("\n".join(_sentences(type(self), error))) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _EnvironmentOrFile(settings_cls)
