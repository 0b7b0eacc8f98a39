from .announcement import Announcement
from .revision import Revision

__all__ = ["Announcement", "Revision"]
