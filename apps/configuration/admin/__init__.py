"""Pages of revisions and of background jobs, and what pages of other apps build on."""

from .job_runs import JobRunAdmin
from .revisions import RevisionAdmin, VersionedAdmin
from .timetable import TimetableAdmin

__all__ = ["JobRunAdmin", "RevisionAdmin", "TimetableAdmin", "VersionedAdmin"]
