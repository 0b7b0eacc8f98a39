"""A model on two providers, the first of which has a budget: it serves until that is used up."""

import json
import time
from pathlib import Path
from typing import Any

import openai

from tests.proofs.figures import Figures
from tests.proofs.stage import Stage

_MESSAGE: Any = [{"role": "user", "content": json.dumps({"prompt": 0, "completion": 1000})}]
_PAUSE_S = 0.6  # the ledger and the gateways' look at it are a second or two behind


def document(stage: Stage) -> dict[str, Any]:
    """Each answer costs 5 cents; the first provider may cost 30."""
    names = ("told-a", "told-b")
    return {
        "providers": [
            {
                "name": names[0],
                "family": "openai",
                "base_url": stage.provider.url,
                "budgets": [{"amount_usd": "0.30", "period": "month"}],
            },
            {"name": names[1], "family": "openai", "base_url": stage.provider.url},
        ],
        "deployments": [{"name": name, "provider": name, "model": name} for name in names],
        "aliases": [
            {
                "name": "told",
                "strategy": "ordered",
                "targets": [{"deployment": name} for name in names],
            }
        ],
        "price_books": [
            {
                "name": "book",
                "prices": [{"model": name, "input": "10", "output": "50"} for name in names],
            }
        ],
        "pricing_tiers": [{"name": "list", "price_book": "book"}],
        "teams": [{"name": "retail"}],
        "clients": [
            {
                "name": "shop",
                "team": "retail",
                "tier": "list",
                "aliases": ["told"],
                "keys": [{"name": "one", "secret": stage.secret_of("shop")}],
            }
        ],
    }


def prove(folder: Path) -> Figures:
    figures = Figures("provider-budgets")
    with Stage(folder) as stage:
        stage.apply(document(stage))
        served = []
        with openai.OpenAI(
            base_url=f"{stage.url}/v1", api_key=stage.key_of("shop"), max_retries=0
        ) as client:
            for _ in range(14):
                reply = client.chat.completions.with_raw_response.create(
                    model="told", messages=_MESSAGE, max_tokens=1000
                )
                served.append(reply.headers["x-chatvault-deployment"])
                time.sleep(_PAUSE_S)
        first = served.count("told-a")
        figures.require(served_at_least_what_the_budget_pays=(first >= 6, True))
        figures.at_most(served_by_the_first=(first, 9))
        figures.require(one_after_the_other=(served == sorted(served), True))
        figures.require(verify_ledger=(stage.verdict(), "clean"))
    return figures.show()
