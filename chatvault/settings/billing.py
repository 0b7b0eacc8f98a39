from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import Section


class BillingSettings(Section):
    """Who may decide what about money."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_BILLING_")

    second_person: bool = False
    """Whether a repricing is approved by another person than its author."""
