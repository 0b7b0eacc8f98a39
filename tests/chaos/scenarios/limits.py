"""Many at once, many processes, two nodes: budgets, keys, prices and clocks."""

import asyncio
import random
import time
from collections import Counter

from tests.chaos import world
from tests.chaos.crowd import refusals
from tests.chaos.scenario import scenario
from tests.chaos.site import Site, Spec
from tests.chaos.trial import Trial
from tests.proofs.figures import Figures
from tests.proofs.stage import wait_until
from tests.proofs.wire import Answer, Wire
from tests.proofs.world import body_of, nonce_of

TWO_NODES = Spec(nodes=2, processes=2)
FITS = 7
_REASONS = {
    (402, "budget_exhausted"),
    (429, "budget_reserved_in_flight"),
    (503, "limits_unavailable"),  # on a machine so busy that Redis is not heard in time
}


@scenario(
    "F38", "R6 R7", "500 requests at once on two nodes, and money for seven", spec=TWO_NODES
)  # fmt: skip
def last_cent(site: Site, figures: Figures, chance: random.Random) -> None:
    names = [f"seven{number}" for number in range(4)]
    budgets = dict.fromkeys(names, FITS * world.CENT_NANO)
    site.apply({**world.models(site), "clients": world.clients(site, budgets)})
    site.forget_calls()
    passed, refused = [], Counter[tuple[int, str]]()
    for name, alias in zip(names, ("cent", "slow-cent") * 2, strict=True):
        answers = asyncio.run(_all_at_once(site, name, alias, 500))
        passed.append(sum(answer.is_acknowledged for answer in answers))
        refused.update(
            (answer.status, answer.error_code) for answer in answers if not answer.is_acknowledged
        )
    wait_until(site.is_healed)
    spent = world.charged(site, budgets)
    calls = Counter(nonce_of(entry.json).partition("-")[0] for entry in site.calls())
    figures.require(
        passed=(passed, [FITS] * 4),
        overspend=(sum(max(0, spent[name] - budgets[name]) for name in names), 0),
        upstream_calls=([calls[name] for name in names], [FITS] * 4),
        refused_otherwise=(sum(n for why, n in refused.items() if why not in _REASONS), 0),
        verify_ledger=(site.verdict(), "clean"),
    )
    figures.note(refused={f"{status} {code}": n for (status, code), n in refused.items()})


async def _all_at_once(site: Site, name: str, alias: str, count: int) -> list[Answer]:
    """Every connection is there, on both nodes, before the first byte is sent on any."""
    wires = [Wire(site.urls[number % len(site.urls)]) for number in range(count)]
    await asyncio.gather(*[wire.connect() for wire in wires])
    asked = [
        wire.post(
            "/v1/chat/completions",
            site.key_of(name),
            body_of(alias, f"{name}-{number}", stream=number % 2 == 0, most=1),
        )
        for number, wire in enumerate(wires)
    ]
    answers = await asyncio.gather(*asked)
    for wire in wires:
        wire.close()
    return list(answers)


@scenario("F37", "R15", "A key is revoked under load, on two nodes", spec=TWO_NODES)
def key_revoked(site: Site, figures: Figures, chance: random.Random) -> None:
    with Trial(site, figures) as trial:
        trial.calm(2)
        with trial.fault():
            told = site.ask("revoke", client=trial.names.free)
            revoked_at = time.monotonic()
            time.sleep(4)
        calls = trial.crowd.between(revoked_at, float("inf"), trial.names.free)
    accepted = [call for call in calls if call.answer.status == 200]
    late = [call for call in accepted if call.began > revoked_at + 1]
    last = max((call.began - revoked_at for call in accepted), default=0.0)
    figures.note(recover_s=round(last, 3), refused=dict(refusals(calls)))
    figures.require(revoked=(told.get("revoked"), 1), accepted_after_1_s=(len(late), 0))


@scenario("F41", "R3 R5", "Prices double while streams run")
def price_changed(site: Site, figures: Figures, chance: random.Random) -> None:
    with Trial(site, figures, poor_nano=500_000_000) as trial:
        trial.calm(2)
        with trial.fault():
            for factor in (2, 3):
                prices = [
                    {**price, "output": str(int(price["output"]) * factor)}
                    for price in world.PRICES
                ]
                site.apply({"price_books": [{"name": "chaos", "prices": prices}]})
                time.sleep(1)
        site.apply({"price_books": [{"name": "chaos", "prices": world.PRICES}]})
    versions = site.query(
        "SELECT COUNT(DISTINCT price_id) FROM usage_requestlog WHERE client_name = %s",
        trial.names.rich,
    )
    figures.note(price_versions=versions[0][0])
    figures.require(
        charged_otherwise=(_charged_otherwise(site), 0),
        after_its_end=(_after_the_end_of_its_price(site), 0),
    )


def _charged_otherwise(site: Site) -> int:
    """Rows that are not what their tokens cost at the price version that they name."""
    return int(
        site.query(
            "SELECT COUNT(*) FROM usage_requestlog r JOIN billing_price p ON p.id = r.price_id "
            "WHERE r.charged_nano <> CASE WHEN r.usage_source = 'none' THEN 0 ELSE "
            "FLOOR((r.input_tokens * p.input_nano + r.output_tokens * p.output_nano)"
            " / 1000000.0 + 0.5) + p.per_request_nano END"
        )[0][0]
    )


def _after_the_end_of_its_price(site: Site) -> int:
    """Requests that were admitted a second or more after their price had ended."""
    return int(
        site.query(
            "SELECT COUNT(*) FROM usage_requestlog r JOIN billing_price p ON p.id = r.price_id "
            "WHERE p.valid_to IS NOT NULL AND r.started_at > p.valid_to + INTERVAL '2 seconds'"
        )[0][0]
    )
