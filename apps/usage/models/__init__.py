from .journal import JournalCursor, OpenIntent
from .request import Attempt, RequestLog
from .rollup import HourlyRollup

__all__ = ["Attempt", "HourlyRollup", "JournalCursor", "OpenIntent", "RequestLog"]
