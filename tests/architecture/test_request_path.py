"""The request's way reads the same in the README, in the steps and in the pipeline."""

import ast
import re

from tests.architecture.source import ROOT, modules

STEPS = "apps.gateway.steps."
WAY = ["receive", "authenticate", "admit", "route", "call", "stream", "settle", "record"]


def _numbered_steps() -> dict[int, str]:
    """Number and name, from the first words of each step's docstring: `Step 3.`"""
    found = {}
    for module in modules("apps/gateway/steps"):
        told = re.match(r"Step (\d)\b", ast.get_docstring(module.tree) or "")
        if told:
            found[int(told.group(1))] = module.name.removeprefix(STEPS)
    return found


def test_every_step_says_its_number() -> None:
    assert [_numbered_steps()[number] for number in range(1, 9)] == WAY


def test_the_readme_names_the_step_files_in_the_order_of_the_pipeline() -> None:
    readme = (ROOT / "apps/gateway/README.md").read_text(encoding="utf-8")
    named = re.findall(r"steps/(\w+)\.py", readme)
    assert list(dict.fromkeys(named)) == _order_in_the_pipeline()


def test_the_pipeline_calls_every_step() -> None:
    assert sorted(_order_in_the_pipeline()) == sorted(WAY)


def _order_in_the_pipeline() -> list[str]:
    """Steps in the order in which the pipeline's text first calls a function of theirs."""
    pipeline = next(m for m in modules("apps/gateway") if m.name == "apps.gateway.pipeline")
    step_of = {
        alias.asname or alias.name: node.module.removeprefix(STEPS)
        for node in ast.walk(pipeline.tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(STEPS)
        for alias in node.names
    }
    calls = [
        (node.lineno, step_of[node.func.id])
        for node in ast.walk(pipeline.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in step_of
    ]
    return list(dict.fromkeys(step for _, step in sorted(calls)))


def test_the_doors_hold_no_steps() -> None:
    doors = [
        m for m in modules("apps/gateway") if m.name in ("apps.gateway.http", "apps.gateway.views")
    ]
    assert [m.where for m in doors if any(name.startswith(STEPS) for name in m.imports())] == []
