from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import Section


class ReportSettings(Section):
    """Files of usage that are made in the background."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_REPORTS_")

    exports_dir: Path | None = None
    """Where their files are; by default `exports` in the state folder. With several machines: a
    folder that all of them share."""
    exports_kept_h: int = Field(72, ge=1, le=8_784)
    """Hours after which a file is removed."""
