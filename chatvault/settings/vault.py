from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import Section, named


class VaultSettings(Section):
    """Keys that protect stored secrets and issued keys. Made at the first run when not given."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_VAULT_")

    keys: SecretStr = named("CHATVAULT_VAULT_KEYS", default=SecretStr(""), kept="vault_keys")
    """`id:base64,…`, 32 bytes each; the first encrypts, all decrypt."""
    pepper: SecretStr = named("CHATVAULT_KEY_PEPPER", default=SecretStr(""), kept="key_pepper")
    """Base64, at least 32 bytes; keys are stored as HMAC under it. To change it, a ring with
    numbers: `2:new,1:old`. The first is for new keys; those of the others move to it when used."""
