from .journal import JournalCursor, OpenIntent
from .kept import KeptSince
from .request import Attempt, RequestLog
from .rollup import HourlyRollup

__all__ = ["Attempt", "HourlyRollup", "JournalCursor", "KeptSince", "OpenIntent", "RequestLog"]
