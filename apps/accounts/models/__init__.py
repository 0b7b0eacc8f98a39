from .client import Client, ClientQuerySet
from .key import ApiKey, ApiKeyQuerySet
from .team import InstallationRole, Membership, Team
from .user import User

__all__ = [
    "ApiKey",
    "ApiKeyQuerySet",
    "Client",
    "ClientQuerySet",
    "InstallationRole",
    "Membership",
    "Team",
    "User",
]
