from typing import Annotated

from pydantic import AfterValidator, Field, PositiveFloat
from pydantic_settings import SettingsConfigDict

from chatvault.settings.oauth import Origin
from chatvault.settings.section import CommaList, Section, named


def _percents(values: tuple[str, ...]) -> tuple[str, ...]:
    if not all(each.isascii() and each.isdigit() and 0 < int(each) <= 1000 for each in values):
        raise ValueError("give whole numbers of percent between 1 and 1000, with commas")
    return values


class AlertSettings(Section):
    """Alerts: what is told, and how it reaches people. Channels are set in the admin."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_ALERTS_")

    public_url: Origin = named("CHATVAULT_PUBLIC_URL", default="")
    """Address of this installation for links in alerts, `https://gateway.example.com`. Empty:
    CHATVAULT_OAUTH_ISSUER, and without that alerts have no links."""
    private_hosts: CommaList = ()
    """`host` or `host:port` of receivers of webhooks that may have a private address or plain
    http, by commas. Those of CHATVAULT_PRIVATE_HOSTS do not count: teams write webhooks, too."""
    timeout_s: PositiveFloat = Field(10.0, le=60)
    """Longest time for handing one alert over to one receiver."""
    max_attempts: int = Field(8, ge=1, le=20)
    """Attempts for one alert and channel before it is given up."""
    first_retry_s: PositiveFloat = Field(30.0, le=3600)
    """Seconds before the second attempt; each further wait is three times as long."""
    longest_retry_s: PositiveFloat = 21_600.0
    """The longest wait between two attempts, in seconds."""
    budget_lines: Annotated[CommaList, AfterValidator(_percents)] = ("80", "100")
    """Percent of a budget at which it is told of, where the budget has neither lines of its own nor
    stages."""
    keep_days: int = Field(400, ge=1)
    """Days for which alerts and their deliveries are kept."""

    @property
    def lines(self) -> tuple[int, ...]:
        return tuple(sorted({int(each) for each in self.budget_lines}))
