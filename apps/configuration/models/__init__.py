from .announcement import Announcement
from .job import JobRun, JobRunQuerySet
from .revision import Revision
from .scheduled_job import ScheduledJob

__all__ = ["Announcement", "JobRun", "JobRunQuerySet", "Revision", "ScheduledJob"]
