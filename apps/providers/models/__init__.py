from .alias import Alias, Target
from .deployment import Deployment
from .probe import Probe
from .provider import Credential, Provider

__all__ = ["Alias", "Credential", "Deployment", "Probe", "Provider", "Target"]
