from pathlib import Path

from pydantic import Field, PositiveFloat, PositiveInt
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
    keep_shipped_h: float = Field(0.0, ge=0, le=168)
    """Hours that segments are kept in `shipped/` once they are in the database, so that a restored
    one can be brought up to date. 0: none. About 0.5 KiB a request."""
    sync_interval_ms: PositiveFloat = 50.0
    """How often written records are forced to disk."""
