from __future__ import annotations

from apps.configuration.diff import diff
from tests.factories import make_document


def shown(before, after):
    return [str(difference) for difference in diff(before, after)]


def test_documents_that_say_the_same_do_not_differ():
    assert diff(make_document(), make_document()) == []
    spelled = make_document(teams=[{"name": "research", "active": True, "description": ""}])
    assert diff(make_document(), spelled) == []


def test_changes_are_named_by_item_and_field():
    after = make_document()
    after["clients"][0]["quotas"][0]["ceiling"] = 900
    after["clients"][0]["aliases"] = []
    after["price_books"][0]["prices"][0]["input"] = "0.2"
    assert shown(make_document(), after) == [
        "~ price_books[list].prices[gpt-4o-mini].input: 0.15 → 0.2",
        "~ clients[notebook].aliases: gpt-4o-mini → (none)",
        "~ clients[notebook].quotas[requests/60].ceiling: 600 → 900",
    ]


def test_items_that_come_and_go_show_their_fields_and_parts():
    before = make_document(teams=[{"name": "old", "description": "x"}], clients=[])
    after = make_document(teams=[])
    assert shown(before, after) == [
        "- teams[old] description x",
        "+ clients[notebook] team research, tier standard, aliases gpt-4o-mini",
        "+ clients[notebook].keys[ci]",
        "+ clients[notebook].quotas[requests/60] ceiling 600",
        "+ clients[notebook].budgets[month] amount_usd 10",
    ]


def test_the_order_of_targets_matters():
    targets = [{"deployment": "a"}, {"deployment": "b"}]
    before = make_document(aliases=[{"name": "x", "targets": targets}])
    after = make_document(aliases=[{"name": "x", "targets": targets[::-1]}])
    assert shown(before, after) == ["~ aliases[x].targets: a, b → b, a"]
