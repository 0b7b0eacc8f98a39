"""The capacity guide says what was measured, and the arithmetic that follows from it."""

import json

from scripts import write_capacity
from tests.architecture.source import ROOT


def test_the_page_is_what_the_figures_say():
    page = (ROOT / "docs/capacity.md").read_text(encoding="utf-8")
    assert page == write_capacity.capacity_page()


def test_a_request_is_reserved_and_settled():
    figures = json.loads((ROOT / "docs/capacity.json").read_text(encoding="utf-8"))
    spent = {"reserve, 1 a call": 100, "settle, 1 a call": 50}
    server = {name: {"server_cpu_us": us} for name, us in spent.items()}
    figures["limits_in_redis"]["shapes"] = {"four scopes (8 quotas, 2 budgets)": {"server": server}}
    assert write_capacity.redis_us(figures, 1) == 150
