"""What a report is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

MOST_PERIODS: Final = 10_000
LONGEST_BY_HOUR: Final = timedelta(days=400)
LONGEST: Final = timedelta(days=20 * 366)


class Bucket(StrEnum):
    """How a report cuts time."""

    NONE = "none"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Dimension(StrEnum):
    """What a report groups and filters by."""

    TEAM = "team"
    CLIENT = "client"
    KEY = "key"
    USER = "user"
    ALIAS = "alias"
    DEPLOYMENT = "deployment"
    PROVIDER = "provider"
    TAG = "tag"
    OUTCOME = "outcome"
    STATUS = "status"
    ERROR = "error"


IDS: Final = frozenset(
    {
        *(Dimension.TEAM, Dimension.CLIENT, Dimension.KEY, Dimension.USER),
        *(Dimension.DEPLOYMENT, Dimension.PROVIDER),
    }
)
"""Dimensions whose values are ids of rows; 0 is none."""

NUMBERS: Final = IDS | {Dimension.STATUS}
Value = int | str
Filters = Mapping[Dimension, tuple[Value, ...]]


class BadQuery(ValueError):
    """The query cannot be answered; `field` is the part that is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Whose rows there are for the one who asks. What is None does not narrow."""

    team_ids: frozenset[int] | None = None
    client_id: int | None = None
    key_id: int | None = None
    user_id: int | None = None


EVERYTHING: Final = Scope()


@dataclass(frozen=True, kw_only=True)
class Query:
    """Requests that began in [start, end), by `group_by` and by `bucket` of `zone`.

    Raises BadQuery for what has no answer.
    """

    start: datetime
    end: datetime
    zone: tzinfo = UTC
    bucket: Bucket = Bucket.NONE
    group_by: tuple[Dimension, ...] = ()
    filters: Filters = field(default_factory=dict)
    fill: bool = False
    """Whether buckets without a request are there, too: with nulls, since no data is not zero."""
    percentiles: bool = True
    scope: Scope = EVERYTHING

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise BadQuery("start", "Times need a time zone, such as 2026-05-01T00:00:00Z.")
        if self.end <= self.start:
            raise BadQuery("end", "The end must be after the start.")
        if self.end - self.start > LONGEST:
            raise BadQuery("end", "A report spans 20 years at most.")
        if self.bucket == Bucket.HOUR and self.end - self.start > LONGEST_BY_HOUR:
            raise BadQuery("bucket", "By the hour a report spans 400 days at most: take days.")
        if len(self.group_by) > 2:
            raise BadQuery("group_by", "Give two dimensions at most.")
        if len(set(self.group_by)) != len(self.group_by):
            raise BadQuery("group_by", "Give each dimension once.")

    @property
    def dimensions(self) -> set[Dimension]:
        """What a table must know to answer: what it is asked by and what narrows it."""
        scope = self.scope
        narrows = (
            (Dimension.TEAM, scope.team_ids),
            (Dimension.CLIENT, scope.client_id),
            (Dimension.KEY, scope.key_id),
            (Dimension.USER, scope.user_id),
        )
        of_scope = {dimension for dimension, value in narrows if value is not None}
        return {*self.group_by, *self.filters, *of_scope}


def zone_of(name: str) -> tzinfo:
    """Raises BadQuery for a name that the time zone database does not have."""
    if name.upper() in ("UTC", "Z"):
        return UTC
    if name not in available_timezones():
        raise BadQuery("time_zone", f"There is no time zone {name[:64]!r}; one is Europe/Berlin.")
    return ZoneInfo(name)


def name_of(zone: tzinfo) -> str:
    return getattr(zone, "key", "UTC")
