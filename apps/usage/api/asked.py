"""What somebody asks a report for, as parameters of an address."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, ClassVar, Final, Self

from django.http import QueryDict
from django.utils.dateparse import parse_date, parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.accounts.api.fields import StrictSerializer
from apps.usage.models import RequestLog
from apps.usage.reports.query import (
    BadQuery,
    Bucket,
    Dimension,
    Filters,
    Query,
    Scope,
    zone_of,
)
from chatvault.lib import clock

MOST_VALUES: Final = 200
DEFAULT_SPAN: Final = timedelta(days=30)
_CODE: Final = re.compile(r"[0-9A-Za-z_.-]{1,64}")


@extend_schema_field(OpenApiTypes.STR)
class Moment(serializers.Field[Any, Any, Any, Any]):
    """A date, at its midnight in the zone of the report, or an instant with its offset."""

    default_error_messages: ClassVar = {
        "invalid": "This is no date such as 2026-05-01 and no instant such as "
        "2026-05-01T08:00:00Z. A plus sign in an address is written %2B."
    }

    def to_internal_value(self, data: Any) -> date | datetime:
        text = str(data).strip()
        try:
            found = parse_date(text) or parse_datetime(text)
        except ValueError:
            found = None
        if found is None or (isinstance(found, datetime) and found.tzinfo is None):
            self.fail("invalid")
        if not 1970 <= found.year <= 9000:
            self.fail("invalid")
        return found

    def to_representation(self, value: Any) -> str:
        return str(value.isoformat())


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class Several(serializers.Field[Any, Any, Any, Any]):
    """A parameter that is given once or several times; numbers also with commas between."""

    def __init__(self, *, of: Callable[[str], Any], commas: bool = True, **more: Any) -> None:
        self._of, self._commas = of, commas
        super().__init__(required=False, **more)

    def to_internal_value(self, data: Any) -> tuple[Any, ...]:
        given = data if isinstance(data, list) else [str(data)]
        texts = [part for text in given for part in (text.split(",") if self._commas else [text])]
        if len(texts) > MOST_VALUES:
            raise serializers.ValidationError(f"Give {MOST_VALUES} values at most.")
        try:
            return tuple(dict.fromkeys(self._of(text.strip()) for text in texts))
        except ValueError as problem:
            raise serializers.ValidationError(str(problem)) from None

    def to_representation(self, value: Any) -> list[str]:
        return [str(each) for each in value]


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValueError("This is a list of ids, such as 3,4; 0 stands for none.")
    return int(text)


def _status(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) == 3) and text != "0":
        raise ValueError("This is a list of HTTP statuses, such as 429,502.")
    return int(text)


def _outcome(text: str) -> str:
    if text not in RequestLog.Outcome.values:
        raise ValueError(f"This is one of {', '.join(RequestLog.Outcome.values)}.")
    return text


def _code(text: str) -> str:
    if not _CODE.fullmatch(text):
        raise ValueError("This is the code of an error, such as upstream_timeout.")
    return text


def _text(text: str) -> str:
    if not text or len(text) > 150 or not text.isprintable():
        raise ValueError("This is a name of up to 150 characters.")
    return text


def _tag(text: str) -> str:
    key, equals, value = text.partition("=")
    if not (equals and key and value) or len(text) > 97 or not text.isprintable():
        raise ValueError("A tag is written key=value, such as project=atlas.")
    return text


def _dimension(text: str) -> Dimension:
    try:
        return Dimension(text)
    except ValueError:
        raise ValueError(f"Dimensions are {', '.join(Dimension)}.") from None


class FilterSerializer(StrictSerializer):
    """Which requests; what is left out does not narrow."""

    start = Moment(required=False, help_text="The first instant; 30 days before the end.")
    end = Moment(required=False, help_text="The first instant that is not in it any more; now.")
    time_zone = serializers.CharField(
        max_length=64, default="UTC", help_text="IANA name; of dates and of buckets."
    )
    team = Several(of=_id, help_text="Ids of teams.")
    client = Several(of=_id, help_text="Ids of clients.")
    key = Several(of=_id, help_text="Ids of keys.")
    user = Several(of=_id, help_text="Ids of people.")
    alias = Several(of=_text, commas=False, help_text="Models as clients call them.")
    deployment = Several(of=_id, help_text="Ids of deployments; 0: none was called.")
    provider = Several(of=_id, help_text="Ids of providers.")
    status = Several(of=_status, help_text="HTTP statuses that clients got.")
    outcome = Several(of=_outcome, help_text=f"Of {', '.join(RequestLog.Outcome.values)}.")
    error = Several(of=_code, help_text="Codes of errors.")
    tag = Several(of=_tag, commas=False, help_text="Tags as `key=value`.")

    @classmethod
    def of(cls, params: QueryDict) -> Self:
        """Raises ValidationError that names the parameter."""
        several = {name for name, field in cls().fields.items() if isinstance(field, Several)}
        data: dict[str, Any] = {
            name: params.getlist(name) if name in several else value
            for name, value in params.items()
        }
        found = cls(data=data)
        found.is_valid(raise_exception=True)
        return found

    def filters(self) -> Filters:
        given = self.validated_data
        return {each: given[each.value] for each in Dimension if each.value in given}

    def zone(self) -> tzinfo:
        return zone_of(self.validated_data["time_zone"])

    def span(self) -> tuple[datetime, datetime]:
        """Without an end: until now; without a start: 30 days."""
        given, zone = self.validated_data, self.zone()
        end = _instant(given["end"], zone) if "end" in given else clock.now()
        start = _instant(given["start"], zone) if "start" in given else end - DEFAULT_SPAN
        return start, end


class SummarySerializer(FilterSerializer):
    bucket = serializers.ChoiceField(
        choices=[each.value for each in Bucket], default="none", help_text="How time is cut."
    )
    group_by = Several(of=_dimension, help_text="Up to two dimensions.")
    fill = serializers.BooleanField(
        default=False, help_text="Buckets without requests too, with nulls."
    )
    percentiles = serializers.BooleanField(default=True, help_text="Whether to work them out.")

    def query(self, scope: Scope) -> Query:
        """Raises ValidationError that names the parameter."""
        given = self.validated_data
        try:
            start, end = self.span()
            return Query(
                start=start,
                end=end,
                zone=self.zone(),
                bucket=Bucket(given["bucket"]),
                group_by=given.get("group_by", ()),
                filters=self.filters(),
                fill=given["fill"],
                percentiles=given["percentiles"],
                scope=scope,
            )
        except BadQuery as bad:
            raise refusal(bad) from None


def refusal(bad: BadQuery) -> serializers.ValidationError:
    return serializers.ValidationError({bad.field: [bad.message]})


def _instant(moment: date | datetime, zone: tzinfo) -> datetime:
    if isinstance(moment, datetime):
        return moment.astimezone(UTC)
    return datetime.combine(moment, time(), zone).astimezone(UTC)
