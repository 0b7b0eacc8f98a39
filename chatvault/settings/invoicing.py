from decimal import Decimal
from zoneinfo import ZoneInfo

from pydantic import Field, PositiveInt, field_validator
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import Section


class InvoicingSettings(Section):
    """Providers' bills, statements and the monthly close."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_INVOICING_")

    time_zone: str = "UTC"
    """In which the months of statements and closes begin, such as `Europe/Berlin`. Do not change it
    once statements have been issued."""
    tolerance_percent: Decimal = Field(Decimal(1), ge=0, le=100)
    """A bill may differ from our cost by so much before it counts as drift; 0.5 is allowed."""
    tolerance_usd: Decimal = Field(Decimal(1), ge=0)
    """Differences of a whole bill up to this many USD are never drift."""
    rate_max_age_days: int = Field(7, ge=0, le=366)
    """How old the last known exchange rate may be for a day; weekends and holidays have none."""
    bill_max_mib: PositiveInt = 32
    """The largest file of a provider's bill."""
    bill_max_rows: PositiveInt = 1_000_000
    """The most lines of one bill."""
    number_prefix: str = Field("ST-", max_length=12, pattern=r"^[A-Za-z0-9/_.-]*$")
    """What comes before the number of a statement or credit note."""
    issuer: str = Field("", max_length=400)
    """Who issues statements: name and address, lines parted by `|`."""

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError):
            raise ValueError("it must be a time zone such as Europe/Berlin") from None
        return value

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)
