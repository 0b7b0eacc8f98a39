import pytest

from benchmarks.figures import (
    LEVELS,
    PacedRun,
    Sample,
    highest_holding,
    is_warm,
    median,
    percentile,
    ratio,
)

PACE_US = 20_000


def smooth(*, worst_gap_us: int = 21_000, late_us: int = 0) -> Sample:
    return Sample(2_000_000, 300, worst_gap_us, 99 * PACE_US + late_us, 102)


def paced(*samples: Sample, streams: int | None = None) -> PacedRun:
    return PacedRun(len(samples) if streams is None else streams, 100, PACE_US, samples)


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1), (0.5, 50), (0.501, 51), (0.99, 99), (1.0, 100)]
)
def test_percentile_is_the_smallest_value_that_covers_the_share(share: float, value: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == value


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_median_over_rounds() -> None:
    assert median([3.0, 9.0, 1.0]) == 3.0
    assert median([]) is None


def test_ratio_is_unknown_without_both_figures() -> None:
    assert ratio(3.0, 2.0) == 1.5
    assert ratio(None, 2.0) is None
    assert ratio(3.0, None) is None
    assert ratio(3.0, 0.0) is None


def test_warm_means_that_two_bursts_were_no_faster() -> None:
    assert not is_warm([100.0, 100.0, 100.0, 100.0])
    assert not is_warm([50.0, 90.0, 100.0, 100.0, 106.0])
    assert is_warm([50.0, 90.0, 100.0, 104.0, 99.0])


def test_streams_that_keep_the_pace_hold() -> None:
    assert paced(smooth(), smooth()).holds


def test_a_stream_that_never_ended_whole_is_not_held() -> None:
    assert not paced(smooth(), streams=2).holds


def test_a_wait_of_a_second_is_a_stall() -> None:
    assert paced(smooth(worst_gap_us=999_999)).holds
    assert not paced(smooth(worst_gap_us=1_000_000)).holds


def test_falling_behind_is_a_stall_though_no_gap_is_long() -> None:
    assert paced(smooth(late_us=999_999)).holds
    assert not paced(smooth(late_us=1_000_000)).holds


def test_one_stream_in_a_hundred_may_stall() -> None:
    good, stalled = smooth(), smooth(worst_gap_us=2_000_000)
    assert paced(*[good] * 99, stalled).holds
    assert not paced(*[good] * 98, stalled, stalled).holds


def test_search_walks_up_to_the_last_level_that_holds() -> None:
    tried: list[int] = []

    def holds(level: int) -> bool:
        tried.append(level)
        return level <= 30

    assert highest_holding(holds, start=20, levels=[10, 20, 30, 40, 50]) == 30
    assert tried == [20, 30, 40, 40]


def test_search_walks_down_from_a_level_that_fails() -> None:
    assert highest_holding(lambda level: level <= 10, start=40, levels=[10, 20, 30, 40]) == 10


def test_search_finds_nothing_when_no_level_holds() -> None:
    assert highest_holding(lambda _level: False, start=20, levels=[10, 20]) == 0


def test_one_hiccup_does_not_fail_a_level() -> None:
    outcomes = iter([False, True, False, False])
    assert highest_holding(lambda _level: next(outcomes), start=10, levels=[10, 20]) == 10


def test_levels_rise() -> None:
    assert list(LEVELS) == sorted(set(LEVELS))
