from .alias import Alias, Target
from .deployment import Deployment
from .provider import Credential, Provider

__all__ = ["Alias", "Credential", "Deployment", "Provider", "Target"]
