"""Reports against sums of the same rows made by pandas."""

from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from apps.billing import adjustments
from apps.usage import rollups
from apps.usage.latency_buckets import bucket_of, middle_ms
from apps.usage.models import SummedDay
from apps.usage.reports.periods import periods_of
from apps.usage.reports.query import Bucket, Dimension, Query, Scope, zone_of
from apps.usage.reports.summary import summary
from chatvault.lib import ids
from tests.usage.reports.conftest import BEGIN, DAYS, Usage

D = Dimension
END = BEGIN + timedelta(days=DAYS)
COLUMNS = {
    D.TEAM: "team_id", D.CLIENT: "client_id", D.KEY: "key_id", D.USER: "user_id",
    D.ALIAS: "alias", D.DEPLOYMENT: "deployment_id", D.OUTCOME: "outcome",
    D.STATUS: "http_status", D.ERROR: "error_code", D.PROVIDER: "provider_id", D.TAG: "tag",
}  # fmt: skip
TOKENS = ("input_tokens", "output_tokens", "cached_input_tokens")
FREQUENCIES = {Bucket.DAY: "D", Bucket.WEEK: "W-SUN", Bucket.MONTH: "M", Bucket.HOUR: "h"}


def frame_of(usage: Usage) -> pd.DataFrame:
    rows = [
        {name: getattr(row, name) for name in (*COLUMNS.values(), *TOKENS) if name != "tag"}
        | {
            "at": row.started_at,
            "requests": 1,
            "errors": int(row.outcome in ("error", "interrupted")),
            "cost": row.cost_nano + usage.changes.get(row.request_id, (0, 0))[0],
            "charged": row.charged_nano + usage.changes.get(row.request_id, (0, 0))[1],
            "latency": row.latency_ms,
            "tag": [f"{key}={value}" for key, value in (row.tags or {}).items()],
        }
        for row in usage.rows
    ]
    frame = pd.DataFrame(rows)
    for name in ("user_id", "deployment_id", "provider_id"):
        frame[name] = frame[name].fillna(0).astype(int)
    return frame


def expected(frame: pd.DataFrame, query: Query) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    found = frame[(frame["at"] >= query.start) & (frame["at"] < query.end)]
    if D.TAG in query.group_by or D.TAG in query.filters:
        found = found.explode("tag").dropna(subset=["tag"])
    for dimension, values in query.filters.items():
        found = found[found[COLUMNS[dimension]].isin(values)]
    if D.TAG not in query.group_by:
        found = found[~found.index.duplicated()]
    local = found["at"].dt.tz_convert(query.zone)
    if query.bucket == Bucket.NONE:
        bucket = pd.Series("all", index=found.index)
    elif query.bucket == Bucket.HOUR:
        into = pd.to_timedelta(local.dt.minute * 60 + local.dt.second, unit="s")
        into += pd.to_timedelta(local.dt.microsecond, unit="us")
        bucket = (local - into).map(lambda at: at.isoformat())
    else:
        period = local.dt.tz_localize(None).dt.to_period(FREQUENCIES[query.bucket])
        bucket = period.dt.start_time.map(lambda at: at.strftime("%Y-%m-%d"))
    keys = [bucket.rename("bucket"), *(found[COLUMNS[each]] for each in query.group_by)]
    sums = found.groupby(keys).agg(
        {name: "sum" for name in ("requests", "errors", *TOKENS, "cost", "charged")}
        | {"latency": "mean"}
    )
    return {
        key if isinstance(key, tuple) else (key,): (
            *(int(value) for value in row[:-1]),
            None if pd.isna(row[-1]) else int(row[-1] + 0.5),
        )
        for key, row in zip(sums.index, sums.itertuples(index=False, name=None), strict=True)
    }


def told(query: Query) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    found = {}
    for line in summary(query).lines:
        label = line.period.label
        bucket = "all" if label is None else label.isoformat()
        if query.bucket not in (Bucket.NONE, Bucket.HOUR):
            bucket = bucket[:10]
        figures = line.figures
        found[bucket, *line.values] = (
            *(figures.of(name) for name in ("requests", "errors", *TOKENS)),
            figures.cost_nano,
            figures.charged_nano,
            figures.mean_ms("latency"),
        )
    return found


QUERIES: dict[str, dict[str, Any]] = {
    "all": {},
    "teams by day": {"bucket": Bucket.DAY, "group_by": (D.TEAM,)},
    "Berlin days": {"bucket": Bucket.DAY, "zone": "Europe/Berlin", "group_by": (D.ALIAS,)},
    "New York weeks": {"bucket": Bucket.WEEK, "zone": "America/New_York"},
    "Kolkata hours": {"bucket": Bucket.HOUR, "zone": "Asia/Kolkata", "group_by": (D.CLIENT,)},
    "Kolkata days": {"bucket": Bucket.DAY, "zone": "Asia/Kolkata", "group_by": (D.USER, D.KEY)},
    "months": {"bucket": Bucket.MONTH, "zone": "Pacific/Apia", "group_by": (D.DEPLOYMENT,)},
    "outcomes": {"bucket": Bucket.DAY, "group_by": (D.OUTCOME, D.STATUS), "zone": "Europe/Berlin"},
    "one client": {"filters": {D.CLIENT: (2,)}, "group_by": (D.ALIAS, D.PROVIDER)},
    "failures": {"filters": {D.OUTCOME: ("error", "interrupted")}, "group_by": (D.ERROR,)},
    "tags": {"bucket": Bucket.DAY, "group_by": (D.TAG,), "zone": "Asia/Kolkata"},
    "two tags": {"filters": {D.TAG: ("env=dev", "project=atlas")}, "group_by": (D.TEAM,)},
    "a tag's keys": {"filters": {D.TAG: ("env=prod",)}, "group_by": (D.KEY,)},
    "odd edges": {
        "start": BEGIN + timedelta(hours=7, minutes=13, seconds=5),
        "end": BEGIN + timedelta(days=3, hours=2, minutes=44),
        "group_by": (D.KEY, D.ALIAS),
    },
}


@pytest.mark.parametrize("is_summed_up", [False, True], ids=["3 days", "all days"])
def test_reports_are_what_pandas_makes_of_the_rows(usage: Usage, is_summed_up: bool) -> None:
    if is_summed_up:
        usage.sum_up()
    frame = frame_of(usage)
    for name, given in QUERIES.items():
        all_given = {"start": BEGIN, "end": END} | given
        query = Query(**all_given | {"zone": zone_of(all_given.get("zone", "UTC"))})
        assert told(query) == expected(frame, query), name


def test_reports_use_the_sums_of_days_and_stay_right_when_a_request_comes_late(usage: Usage):
    query = Query(start=BEGIN, end=END, bucket=Bucket.DAY)
    late = usage.rows[0]
    before = told(query)
    assert SummedDay.objects.filter(is_ready=True).count() == 3
    late.pk, late.request_id = None, ids.uuid7()
    late.save()
    hour = late.started_at.replace(minute=0, second=0, microsecond=0)
    rollups.recompute(hour, hour + timedelta(hours=1))
    after = told(query)
    day = (late.started_at.date().isoformat(),)
    assert after[day][0] == before[day][0] + 1
    assert {key: value for key, value in after.items() if key != day} == {
        key: value for key, value in before.items() if key != day
    }


MEASURED: dict[str, dict[str, Any]] = {
    name: {"group_by": dimensions, "bucket": bucket, "zone": zone}
    for name, dimensions, bucket, zone in (
        ("all", (), Bucket.NONE, "UTC"),
        ("days of Berlin", (), Bucket.DAY, "Europe/Berlin"),
        ("teams", (D.TEAM,), Bucket.DAY, "UTC"),
        ("models", (D.ALIAS, D.DEPLOYMENT), Bucket.NONE, "America/New_York"),
        ("clients", (D.CLIENT, D.ALIAS), Bucket.NONE, "UTC"),
        ("both", (D.CLIENT, D.DEPLOYMENT), Bucket.NONE, "UTC"),
        ("keys", (D.KEY,), Bucket.WEEK, "Asia/Kolkata"),
        ("users", (D.TEAM, D.USER), Bucket.NONE, "UTC"),
        ("providers", (D.PROVIDER,), Bucket.DAY, "UTC"),
        ("outcomes", (D.OUTCOME, D.STATUS), Bucket.NONE, "Pacific/Apia"),
        ("errors", (D.ERROR,), Bucket.NONE, "UTC"),
        ("tags", (D.TAG,), Bucket.NONE, "UTC"),
        ("keys by model", (D.KEY, D.ALIAS), Bucket.NONE, "UTC"),
    )
}


@pytest.mark.parametrize(
    "is_mine", [False, True], ids=["everybody and 3 days", "a client and all days"]
)
def test_percentiles_are_those_of_the_rows(usage: Usage, is_mine: bool) -> None:
    if is_mine:
        usage.sum_up()
    frame = frame_of(usage)
    if is_mine:
        frame = frame[frame["client_id"] == 2]
    scope = Scope(team_ids=frozenset({1, 2, 3}), client_id=2) if is_mine else Scope()
    for name, given in MEASURED.items():
        query = Query(start=BEGIN, end=END, scope=scope, **given | {"zone": zone_of(given["zone"])})
        assert percentiles_told(query) == percentiles_of(frame, query), name


def percentiles_told(query: Query) -> dict[tuple[Any, ...], tuple[int | None, ...]]:
    return {
        (line.period.start, *line.values): tuple(
            line.figures.total.percentile(percent) for percent in (50, 95)
        )
        for line in summary(query).lines
        if not line.figures.is_empty
    }


def percentiles_of(
    frame: pd.DataFrame, query: Query
) -> dict[tuple[Any, ...], tuple[int | None, ...]]:
    """The middle of the bucket of the nearest rank."""
    found = {}
    exploded = frame.explode("tag").dropna(subset=["tag"]) if D.TAG in query.group_by else frame
    for period in periods_of(query):
        rows = exploded[(exploded["at"] >= period.start) & (exploded["at"] < period.end)]
        groups = [rows[COLUMNS[each]] for each in query.group_by]
        parts = rows.groupby(groups) if groups else [((), rows)]
        for key, part in parts:
            if not len(part):
                continue
            known = sorted(int(each) for each in part["latency"].dropna())
            found[(period.start, *key)] = tuple(
                middle_ms(bucket_of(known[-(-len(known) * percent // 100) - 1])) if known else None
                for percent in (50, 95)
            )
    return found


def test_reports_follow_an_adjustment_at_once_and_when_its_day_is_summed_up_again(usage: Usage):
    usage.sum_up()
    adjusted = usage.rows[0]
    usage.adjust(adjusted)
    frame = frame_of(usage)
    assert SummedDay.objects.count() == DAYS - 1
    for given in (
        {"group_by": (D.OUTCOME, D.USER)},
        {"group_by": (D.TAG,)},
        {"bucket": Bucket.DAY},
    ):
        query = Query(start=BEGIN, end=END, **given)
        assert told(query) == expected(frame, query)
    usage.sum_up()
    for given in (
        {"group_by": (D.OUTCOME, D.USER)},
        {"group_by": (D.TAG,)},
        {"bucket": Bucket.DAY},
    ):
        query = Query(start=BEGIN, end=END, **given)
        assert told(query) == expected(frame, query)


def test_an_amount_of_no_request_is_in_reports_of_days_too(usage: Usage) -> None:
    standing = adjustments.Standing(
        ids.uuid7(), 1, 2, 3, "", BEGIN + timedelta(days=1, hours=3), charged_delta=-5
    )
    adjustments.adjust_many([standing], batch_id="standing:1", author="ada", reason="a rebate")
    query = Query(start=BEGIN, end=END, group_by=(D.USER, D.OUTCOME))
    before = told(query)
    usage.sum_up()
    assert told(query) == before
    assert before["all", 0, ""] == (None, None, None, None, None, 0, -5, None)


def test_what_is_not_known_is_null_and_not_zero(usage: Usage) -> None:
    query = Query(start=END, end=END + timedelta(days=2), bucket=Bucket.DAY, fill=True)
    found = summary(query)
    assert [line.figures.of("requests") for line in found.lines] == [None, None]
    assert found.total.of("requests") is None
    assert found.total.charged_nano is None
    assert found.total.mean_ms("latency") is None
    assert found.total.total.percentile(50) is None


def test_failures_have_no_latency(usage: Usage) -> None:
    found = summary(Query(start=BEGIN, end=END, filters={D.OUTCOME: ("error",)}))
    assert found.total.of("requests")
    assert found.total.mean_ms("latency") is None
    assert found.total.total.percentile(99) is None


@pytest.mark.parametrize(
    "span", [(BEGIN, END), (BEGIN, BEGIN + timedelta(hours=30))], ids=["days", "hours"]
)
def test_percentiles_are_within_five_percent(usage: Usage, span: tuple[datetime, datetime]) -> None:
    frame = frame_of(usage)
    found = frame[(frame["at"] >= span[0]) & (frame["at"] < span[1])]["latency"].dropna()
    measured = summary(Query(start=span[0], end=span[1])).total.total
    for percent in (50, 95, 99):
        exact = found.quantile(percent / 100, interpolation="higher")
        assert measured.percentile(percent) == pytest.approx(exact, rel=0.12)


def test_nobody_sees_what_is_outside_of_their_scope(usage: Usage) -> None:
    mine = summary(Query(start=BEGIN, end=END, scope=Scope(team_ids=frozenset({1}))))
    own = summary(Query(start=BEGIN, end=END, scope=Scope(team_ids=frozenset({1}), key_id=3)))
    none = summary(Query(start=BEGIN, end=END, scope=Scope(team_ids=frozenset())))
    rows = usage.rows
    assert mine.total.of("requests") == sum(row.team_id == 1 for row in rows)
    assert own.total.of("requests") == sum(row.team_id == 1 and row.key_id == 3 for row in rows)
    assert none.total.is_empty
