from .check import LedgerCheck
from .day import DayRollup, LatencyView, SummedDay, SumView, TagDay
from .errors import ErrorGroup, ErrorHour, RefusalSample
from .export import UsageExport
from .journal import JournalCursor, OpenIntent
from .kept import KeptSince
from .request import Attempt, RequestLog
from .rollup import HourlyRollup, LatencyHour, TagHour

__all__ = [
    "Attempt",
    "DayRollup",
    "ErrorGroup",
    "ErrorHour",
    "HourlyRollup",
    "JournalCursor",
    "KeptSince",
    "LatencyHour",
    "LatencyView",
    "LedgerCheck",
    "OpenIntent",
    "RefusalSample",
    "RequestLog",
    "SumView",
    "SummedDay",
    "TagDay",
    "TagHour",
    "UsageExport",
]
