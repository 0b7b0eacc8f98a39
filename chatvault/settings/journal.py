from pathlib import Path

from pydantic import PositiveFloat, PositiveInt
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import Section


class JournalSettings(Section):
    """The append-only files between the gateway and the database."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_JOURNAL_")

    dir: Path | None = None
    """Folder of the segments. Default: `journal` in the state folder."""
    segment_mib: PositiveInt = 16
    """Size at which a new segment is begun."""
    cap_mib: PositiveInt = 1024
    """Space for segments that are not yet in the database; beyond it requests are refused."""
    sync_interval_ms: PositiveFloat = 50.0
    """How often written records are forced to disk."""
