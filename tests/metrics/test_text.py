"""The text that Prometheus reads: its own client's parser must read the same."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from chatvault.lib.metrics.families import Family, Histogram, Peak
from chatvault.lib.metrics.text import render


def _read(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_labels_are_escaped() -> None:
    family = Family("f_total", "counter", 'A "text"\nwith \\ lines.', ("name",))
    value = 'quote " back \\ line\nend'
    assert _read(render([(family, {(value,): (3,)})])) == {("f_total", (("name", value),)): 3}


def test_buckets_are_cumulative_and_end_in_infinity() -> None:
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.1, 0.2, 0.3, 5.0):
        histogram.observe(seconds)
    family = Family("took_seconds", "histogram", "How long.", (), histogram.bounds)
    assert _read(render([(family, {(): histogram.row()})])) == {
        ("took_seconds_bucket", (("le", "0.1"),)): 1,
        ("took_seconds_bucket", (("le", "1"),)): 3,
        ("took_seconds_bucket", (("le", "+Inf"),)): 4,
        ("took_seconds_sum", ()): pytest.approx(5.6),
        ("took_seconds_count", ()): 4,
    }


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0"), (1, "0.000000001"), (9_007_199_254_740_993, "9007199.254740993"), (10**9, "1")],
)
def test_money_is_told_exactly(nano: int, text: str) -> None:
    family = Family("cost_usd_total", "counter", "Cost.", is_nano=True)
    assert render([(family, {(): (nano,)})]).decode().splitlines()[-1] == f"cost_usd_total {text}"


def test_a_family_without_rows_is_not_told() -> None:
    assert render([(Family("f_total", "counter", "F."), {})]) == b""


def test_a_peak_is_remembered_however_often_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("chatvault.lib.clock.monotonic", lambda: now)
    monkeypatch.setattr("time.monotonic", lambda: now)
    peak = Peak(seconds=15)
    peak.value = 0.9
    assert [peak.read() for _ in range(5)] == [0.9] * 5
    now += 10
    assert peak.read() == 0.9
    now += 16
    assert peak.read() == 0.0
