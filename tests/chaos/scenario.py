"""The table of scenarios: what each breaks, and the promise that must hold all the same."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.site import Site, Spec
from tests.proofs.figures import Figures

NINE = (
    "lost",
    "dup",
    "overspend",
    "phantom",
    "leaked",
    "false_success",
    "hung",
    "p99_added_ms",
    "recover_s",
)
"""The figures of every scenario, in this order; those that one does not measure stay empty."""

Run = Callable[[Site, Figures, random.Random], None]


@dataclass(frozen=True)
class Scenario:
    name: str
    faults: str
    promises: str
    title: str
    run: Run
    spec: Spec
    is_long: bool
    """Not part of `make chaos` unless it is named."""
    keeps_site: bool
    """Whether the next scenario may have the same site."""


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    faults: str,
    promises: str,
    title: str,
    *,
    spec: Spec | None = None,
    is_long: bool = False,
    keeps_site: bool = True,
) -> Callable[[Run], Run]:
    """Put a function into the table under its name."""

    def add(run: Run) -> Run:
        name = run.__name__
        SCENARIOS[name] = Scenario(
            name, faults, promises, title, run, spec or Spec(), is_long, keeps_site
        )
        return run

    return add
