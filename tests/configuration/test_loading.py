from __future__ import annotations

import time

import pytest

from apps.configuration import loading
from apps.configuration.problems import DocumentRefused


def refusal(text: str) -> tuple[str, str]:
    with pytest.raises(DocumentRefused) as caught:
        loading.load(text)
    (problem,) = caught.value.problems
    return problem.path, problem.reason


def test_yaml_and_json_are_read():
    assert loading.load("version: 1\nteams: [{name: a}]") == {
        "version": 1,
        "teams": [{"name": "a"}],
    }
    assert loading.load('{"version": 1}') == {"version": 1}


def test_a_field_that_is_there_twice_is_refused_with_its_place():
    text = "version: 1\nteams:\n  - name: a\n    name: b\n"
    assert refusal(text) == ("line 4, column 5", "The field 'name' is here twice.")


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [1]\nb: *x",
        "a: &a [x]\n" + "\n".join(f"k{i}: &b{i} [*a, *a]" for i in range(5)),
        "base: &b {a: 1}\nother: {<<: *b}",
        "&a [*a]",
    ],
)
def test_aliases_are_refused(text):
    assert refusal(text)[1] == "Anchors and aliases are not supported."


def test_a_bomb_of_aliases_costs_nothing():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    begin = time.perf_counter()
    refusal("\n".join(lines))
    assert time.perf_counter() - begin < 1


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system [id]",
        "!!python/name:os.system",
        "a: [1, 2",
        "a: b: c",
        "\t- x",
        "? {a: 1}\n: 2",
        "? [a]\n: 2",
        "a: 1\n---\nb: 2",
        "\x00",
        "a: 2026-99-99",
        "[" * 5000,
        "[" * 40 + "]" * 40,
        "a: " + "{b: " * 40,
    ],
)
def test_what_is_not_plain_yaml_is_refused(text):
    path, reason = refusal(text)
    assert path
    assert reason.endswith(".")


def test_a_text_that_is_too_large_is_refused_unread():
    begin = time.perf_counter()
    assert refusal("- x\n" * 1_100_000) == ("document", "It is larger than 4 MiB.")
    assert time.perf_counter() - begin < 0.5
