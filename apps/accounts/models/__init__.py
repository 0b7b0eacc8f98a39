from .client import Client, ClientQuerySet
from .key import ApiKey, ApiKeyQuerySet
from .team import Membership, Team
from .user import User

__all__ = [
    "ApiKey",
    "ApiKeyQuerySet",
    "Client",
    "ClientQuerySet",
    "Membership",
    "Team",
    "User",
]
