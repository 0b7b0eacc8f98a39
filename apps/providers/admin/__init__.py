"""The admin's pages of providers: one module a model."""

from apps.providers.admin.alias import AliasAdmin
from apps.providers.admin.credential import CredentialAdmin
from apps.providers.admin.deployment import DeploymentAdmin
from apps.providers.admin.probe import ProbeAdmin
from apps.providers.admin.provider import ProviderAdmin

__all__ = ["AliasAdmin", "CredentialAdmin", "DeploymentAdmin", "ProbeAdmin", "ProviderAdmin"]
