"""What alerts are about. Apps above register theirs; a topic that nobody registered is told, too,
to the channels that take everything."""

from __future__ import annotations

from typing import Final, NamedTuple


class Topic(NamedTuple):
    name: str  # such as budget.threshold
    title: str
    explanation: str


_topics: Final[dict[str, Topic]] = {}
TEST: Final = "channel.test"


def register(name: str, title: str, explanation: str) -> None:
    topic = Topic(name, title, explanation)
    if _topics.setdefault(name, topic) != topic:
        raise ValueError(f"The topic {name} is registered already.")


def registered() -> list[Topic]:
    return sorted(_topics.values())


def title_of(name: str) -> str:
    found = _topics.get(name)
    return found.title if found else name


def register_own() -> None:
    register(
        "budget.threshold",
        "Budget reached a line",
        "A budget has spent a share of its amount, such as 80 or 100 %.",
    )
    register(
        "budget.forecast",
        "Budget will not last",
        "The forecast says that a budget is spent before its period ends.",
    )
    register(
        "price.unpriced",
        "Requests without a price",
        "Somebody uses a model that no price book has a price for: it is not charged.",
    )
    register(
        "provider.credential",
        "Provider refuses a credential",
        "A provider answers 401 or 403 to a deployment's credential.",
    )
    register(
        "reconciliation.drift",
        "A provider's bill differs",
        "What a provider bills is not what ChatVault counted.",
    )
    register(
        "ledger.audit",
        "Books do not balance",
        "A regular check of the ledger or of the audit trail found a difference, or failed.",
    )
