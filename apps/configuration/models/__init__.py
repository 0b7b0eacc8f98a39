from .announcement import Announcement
from .job import JobRun, JobRunQuerySet
from .revision import Revision

__all__ = ["Announcement", "JobRun", "JobRunQuerySet", "Revision"]
