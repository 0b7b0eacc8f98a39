from .client import Client, ClientQuerySet
from .key import ApiKey, ApiKeyQuerySet
from .team import InstallationRole, Membership, Team
from .token import IssuerRule, SigningKey, TokenSession, TrustedIssuer
from .user import User

__all__ = [
    "ApiKey",
    "ApiKeyQuerySet",
    "Client",
    "ClientQuerySet",
    "InstallationRole",
    "IssuerRule",
    "Membership",
    "SigningKey",
    "Team",
    "TokenSession",
    "TrustedIssuer",
    "User",
]
