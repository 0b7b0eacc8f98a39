from typing import Final

from pydantic import Field, PositiveFloat, PositiveInt
from pydantic_settings import SettingsConfigDict

from chatvault.settings.core import CoreSettings
from chatvault.settings.section import CommaList, Section

_OF_THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "testserver"})


class SignInSettings(Section):
    """How people sign in. Providers, rules and invitations are set in the admin."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_SIGN_IN_")

    mfa_for_staff: bool | None = None
    """Whether whoever may change something needs a second factor. Empty: yes, unless only this
    machine can reach ChatVault (HOST is loopback, no proxy is trusted, no other host is allowed).
    """
    session_life_h: PositiveFloat = 12.0
    """Hours after which a session ends, however busy it is."""
    session_idle_min: PositiveFloat = 120.0
    """Minutes without a request after which a session ends."""
    reauthenticate_after_min: PositiveFloat = 30.0
    """Minutes after which what is dangerous asks for the password or second factor again."""
    failures_before_lock: PositiveInt = 5
    """Failed attempts for one account before it has to wait."""
    failures_of_address_before_lock: PositiveInt = 5
    """The same from one address. Raise it where many people share one."""
    first_lock_s: PositiveFloat = 30.0
    """The first wait in seconds; each further failure doubles it."""
    longest_lock_s: PositiveFloat = 3600.0
    """The longest wait in seconds."""
    forget_failures_after_s: PositiveFloat = 86400.0
    """Seconds without a failure after which the earlier ones of an account are forgotten."""
    forget_failures_of_address_after_s: PositiveFloat = 3600.0
    """The same for an address."""
    private_hosts: CommaList = ()
    """`host` or `host:port` of identity providers that may have a private address, by commas."""
    request_timeout_s: PositiveFloat = 10.0
    """Longest time for one request to an identity provider."""
    invitation_life_h: PositiveFloat = Field(168.0, le=8760)
    """Hours for which a new invitation can be accepted."""

    def needs_second_factor(self, core: CoreSettings) -> bool:
        """Whether those who may change something must have one."""
        if self.mfa_for_staff is not None:
            return self.mfa_for_staff
        is_local = core.host in ("localhost", "127.0.0.1", "::1")
        elsewhere = set(core.allowed_hosts) - _OF_THIS_MACHINE
        return not is_local or bool(core.trusted_proxies) or bool(elsewhere)
