from .check import LedgerCheck
from .errors import ErrorGroup, ErrorHour, RefusalSample
from .journal import JournalCursor, OpenIntent
from .kept import KeptSince
from .request import Attempt, RequestLog
from .rollup import HourlyRollup

__all__ = [
    "Attempt",
    "ErrorGroup",
    "ErrorHour",
    "HourlyRollup",
    "JournalCursor",
    "KeptSince",
    "LedgerCheck",
    "OpenIntent",
    "RefusalSample",
    "RequestLog",
]
