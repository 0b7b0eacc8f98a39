"""Code stays in pieces that one can read: line ≤ 100, function ≤ 60, module ≤ 400."""

import ast

from tests.architecture.source import ALL, modules

MAX_LINE = 100
MAX_FUNCTION = 60
MAX_MODULE = 400
VAGUE = {"utils", "helpers", "misc", "common"}


def test_lines() -> None:
    wrong = [
        f"{module.where}:{number} has {len(line)} characters"
        for module in modules(*ALL)
        for number, line in enumerate(module.text.splitlines(), start=1)
        if len(line) > MAX_LINE
    ]
    assert wrong == []


def test_functions() -> None:
    wrong = [
        f"{module.where}:{node.lineno} {node.name} has {length} lines"
        for module in modules(*ALL)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION
    ]
    assert wrong == []


def test_modules() -> None:
    wrong = [
        f"{module.where} has {length} lines"
        for module in modules(*ALL)
        if (length := module.text.count("\n")) > MAX_MODULE
    ]
    assert wrong == []


def test_names_say_what_is_inside() -> None:
    assert [m.where for m in modules(*ALL) if m.name.rpartition(".")[2] in VAGUE] == []
