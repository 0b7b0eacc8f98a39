from apps.sign_in.models.attempts import FailedSignIns
from apps.sign_in.models.session import PersonSession

__all__ = ["FailedSignIns", "PersonSession"]
