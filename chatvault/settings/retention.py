from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import Section


class RetentionSettings(Section):
    """How long rows are kept. The ledger and the hourly sums are kept for ever."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_RETENTION_")

    request_days: int = Field(90, ge=0)
    """Whole UTC days of the request log that are kept beside today; 0 keeps all."""
    attempt_days: int = Field(90, ge=0)
    """The same for the calls to providers that a request's page lists; 0 keeps all."""
    batch_rows: int = Field(1000, ge=1)
    """Rows that one transaction deletes where no whole partition can be dropped."""
    days_ahead: int = Field(7, ge=1, le=366)
    """PostgreSQL: daily partitions that are made ahead."""
