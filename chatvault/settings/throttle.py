"""How often the endpoints of the control plane may be asked by one address and for one account."""

import re
from typing import Annotated

from pydantic import AfterValidator
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import Section

_RATE = re.compile(r"([1-9]\d{0,8})/([1-9]\d{0,4})?([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_OFF = "off"


def _readable(value: str) -> str:
    if value != _OFF and not _RATE.fullmatch(value):
        raise ValueError("write a rate as '10/m', '30/5m' or '100/h' (s, m, h, d), or 'off'")
    return value


Rate = Annotated[str, AfterValidator(_readable)]
"""`10/m`: ten in a minute; `30/5m`: thirty in five; `off`: as many as come."""


class ThrottleSettings(Section):
    """How often the control plane's endpoints may be asked, by one address and for one account.

    A rate is written `10/m`, `30/5m`, `100/h` (s, m, h, d), or `off`. More are answered 429. The
    rates of the inference API are quotas in the admin, not these.
    """

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_THROTTLE_")

    sign_in_per_address: Rate = "30/5m"
    """Passwords that one address may try."""
    sign_in_per_account: Rate = "10/5m"
    """Passwords that may be tried for one account, from wherever."""
    second_factor_per_address: Rate = "30/5m"
    """Codes of an authenticator that one address may try."""
    second_factor_per_account: Rate = "10/5m"
    """Codes that may be tried for one account."""
    password_per_address: Rate = "20/h"  # noqa: S105 – a rate, no secret
    """Changes and resets of passwords that one address may ask for."""
    password_per_account: Rate = "5/h"  # noqa: S105 – a rate, no secret
    """The same for one account: each reset is a mail to somebody."""
    token_per_address: Rate = "300/m"  # noqa: S105 – a rate, no secret
    """Tokens (JWT and OAuth) that one address may ask for; many services can be behind one."""
    token_per_account: Rate = "120/m"  # noqa: S105 – a rate, no secret
    """Tokens that may be asked for one account or OAuth client."""
    authorization_per_address: Rate = "120/m"
    """Consent pages of OAuth that one address may open or answer."""
    authorization_per_account: Rate = "60/m"
    """The same for one person."""
    registration_per_address: Rate = "20/h"
    """OAuth clients that one address may register by itself (RFC 7591)."""
    registration_per_account: Rate = "60/h"
    """The same with one initial access token."""
    introspection_per_address: Rate = "1200/m"
    """Tokens that one address may ask about or revoke (RFC 7662, RFC 7009)."""
    introspection_per_account: Rate = "1200/m"
    """The same for one OAuth client."""
    device_per_address: Rate = "30/5m"
    """User codes of the device flow that one address may try (RFC 8628 §5.1)."""
    device_per_account: Rate = "10/5m"
    """The same for one person."""
    export_per_address: Rate = "60/h"
    """Exports that one address may start."""
    export_per_account: Rate = "30/h"
    """Exports that one person may start."""
    api_per_address: Rate = "1200/m"
    """Requests to the management API from one address."""
    api_per_account: Rate = "600/m"
    """Requests to the management API by one person, key or token."""
    report_per_address: Rate = "60/m"
    """Reports of browsers about what a page may not do, from one address."""
    report_per_account: Rate = "off"
    """Such reports are nobody's."""

    key_failures_per_address: Rate = "120/m"
    """Unknown keys and tokens that one address may show, to the inference API as well; keys that
    are known to be good do not wait. Of each process."""
    key_failures_per_prefix: Rate = "60/m"
    """The same for keys that begin alike: guesses at the rest of one."""

    def pace_of(self, name: str) -> tuple[int, int] | None:
        """Count and seconds of the rate `name`; None: as many as come."""
        found = _RATE.fullmatch(getattr(self, name))
        if found is None:
            return None
        count, times, unit = found.groups()
        return int(count), int(times or 1) * _SECONDS[unit]

    def rate_of(self, group: str, by: str) -> str | None:
        """The rate of a group `by` address or account; None: as many as come."""
        rate: str = getattr(self, f"{group}_per_{by}")
        return None if rate == _OFF else rate
