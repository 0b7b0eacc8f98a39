from apps.sign_in.models.attempts import FailedSignIns
from apps.sign_in.models.invitation import Invitation
from apps.sign_in.models.provider import IdentityProvider, MappedRole, OutsideIdentity, RoleRule
from apps.sign_in.models.session import PersonSession

__all__ = [
    "FailedSignIns",
    "IdentityProvider",
    "Invitation",
    "MappedRole",
    "OutsideIdentity",
    "PersonSession",
    "RoleRule",
]
