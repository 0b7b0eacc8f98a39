from benchmarks import document, report
from benchmarks.goals import GOALS, judge
from benchmarks.parts import FULL
from benchmarks.profile import count
from benchmarks.run import headroom

MEDIANS = {
    "chatvault": {
        "rps_32": 15_000.0, "p50_ms_1": 0.2, "chunk_cpu_us": 22.0, "streams": 900.0,
        "worker_rss_mb": 151.0, "ready_s": 3.0, "first_chunk_ms": 0.5,
        "jwt_to_key_rps": 0.89,
    },
    "chatvault-production": {
        "rps_32": 9_000.0, "one_full_whole_cpu_us": 200.0,
        "four_full_whole_cpu_us": 230.0, "one_rate_whole_cpu_us": 200.0,
        "four_rate_whole_cpu_us": 230.0,
        "outage_added_ms_first": 25.1, "outage_errors": 0.0,
    },
    "tensorzero": {"rps_32": 9_000.0, "p50_ms_1": 0.2, "chunk_cpu_us": 30.0},
    "direct": {"rps_32": 90_000.0, "first_chunk_ms": 0.1},
}  # fmt: skip
TITLES = {"chatvault": "ChatVault", "chatvault-production": "ChatVault production",
          "tensorzero": "TensorZero", "litellm": "LiteLLM proxy"}  # fmt: skip


def test_goals_are_judged_by_their_own_direction() -> None:
    verdicts = {verdict.goal.text: verdict.met for verdict in judge(MEDIANS)}
    assert verdicts == {
        "Requests/s at 32 connections against TensorZero": True,
        "Requests/s at 32 connections against the LiteLLM proxy": None,
        "p50 at 1 connection against TensorZero": True,
        "CPU per streamed chunk against TensorZero": False,
        "Concurrent 20 ms-paced streams without a stall": True,
        "Resident memory of the gateway process": False,
        "Ready after a start with existing state": True,
        "Requests/s with a JWT against a key, turn about": False,
        "Production: requests/s at 32 connections against TensorZero": True,
        "Production: requests/s at 32 connections against the LiteLLM proxy": None,
        "Production: CPU per request, four gateway processes against one, 32 connections": True,
        "Production: the same at a rate that leaves both idle for a part": True,
        "Production: p99 added by a stopped Redis, first second": False,
        "Production: p99 added by a stopped Redis, afterwards": None,
        "Production: requests refused because Redis was stopped": True,
    }


def test_a_figure_at_its_bound_meets_the_goal() -> None:
    at_bound = {"chatvault": {"streams": 800.0, "worker_rss_mb": 150.0, "ready_s": 4.0}}
    assert [verdict.met for verdict in judge(at_bound)][4:7] == [True, True, True]


def test_ratios_are_ours_over_theirs() -> None:
    cells = report.ratio_cells(MEDIANS, TITLES)
    assert cells[0] == ["ChatVault ÷ …", "TensorZero", "LiteLLM proxy"]
    assert ["requests/s, 32 connections", "1.67×", "–"] in cells
    cells = report.ratio_cells(MEDIANS, TITLES, "chatvault-production")
    assert cells[0] == ["ChatVault production ÷ …", "TensorZero", "LiteLLM proxy"]
    assert ["requests/s, 32 connections", "1.00×", "–"] in cells
    assert ["requests/s, 1 connection"] not in [row[:1] for row in cells]


def test_production_has_a_table_of_its_own() -> None:
    cells = report.production_cells(MEDIANS)
    assert ["CPU µs per request of all, four gateway processes, at the same rate", "230"] in cells
    assert report.production_cells({}) == []


def test_figures_that_nobody_has_get_no_row() -> None:
    rows = [row[0] for row in report.figure_cells(MEDIANS, TITLES)]
    assert "requests/s, 32 connections" in rows
    assert "p99 ms, 32 connections" not in rows


def test_added_delay_is_over_the_bare_mock() -> None:
    figures = report.with_added_delay(MEDIANS)
    assert figures["chatvault"]["first_chunk_added_ms"] == 0.4
    assert "first_chunk_added_ms" not in figures["direct"]


def test_a_table_aligns_its_figures_to_the_right() -> None:
    assert report.aligned([["", "a"], ["x", "1,000"]]) == "       a\nx  1,000"


def test_markdown_table() -> None:
    assert report.markdown([["", "a"], ["x", "1"]]) == "|  | a |\n| --- | ---: |\n| x | 1 |"


def test_headroom_is_over_the_fastest_gateway() -> None:
    assert headroom(MEDIANS) == 6.0
    assert headroom({"chatvault": {"rps_32": 1.0}}) is None


def test_the_page_names_every_goal_that_was_missed() -> None:
    page = document.page(
        medians=MEDIANS, rounds={"tensorzero": {"others_share_32": [0.02, 0.07]}}, titles=TITLES,
        versions={"tensorzero": "2026.6.0"}, cpu_streams={"chatvault": 100}, scale=FULL,
        headroom=6.0, notes=["one"], minutes=12.4, shared_load_core=True,
    )  # fmt: skip
    missed = [line for line in page.splitlines() if line.startswith("- **Missed**")]
    assert missed == [
        "- **Missed**: Requests/s at 32 connections against the LiteLLM proxy: not measured.",
        "- **Missed**: CPU per streamed chunk against TensorZero: wanted ≤ 0.7×, measured 0.73×.",
        "- **Missed**: Resident memory of the gateway process: wanted ≤ 150 MB, measured 151 MB.",
        "- **Missed**: Requests/s with a JWT against a key, turn about: wanted ≥ 0.9×, "
        "measured 0.89×.",
        "- **Missed**: Production: requests/s at 32 connections against the LiteLLM proxy: "
        "not measured.",
        "- **Missed**: Production: p99 added by a stopped Redis, first second: "
        "wanted ≤ 25 ms, measured 25.1 ms.",
        "- **Missed**: Production: p99 added by a stopped Redis, afterwards: not measured.",
    ]
    assert "at most 7% of the gateway's core" in page
    assert len(GOALS) == sum(line.endswith(("met |", "missed |", "measured |"))
                             for line in page.splitlines())  # fmt: skip


def test_profile_counts_a_recursive_function_once_a_sample() -> None:
    own, whole, total = count(["main;walk;walk;read 3", "main;walk 2", "no samples here"])
    assert total == 5
    assert own == {"read": 3, "walk": 2}
    assert whole == {"main": 5, "walk": 5, "read": 3}
