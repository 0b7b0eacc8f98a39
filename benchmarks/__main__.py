"""`make bench`: measures every gateway in one run, prints the ratios, writes docs/benchmarks.md."""

import argparse
import sys

from benchmarks.gateways import GATEWAYS
from benchmarks.run import PARTS, Plan, run


def names_of(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in GATEWAYS]:
        raise argparse.ArgumentTypeError(
            f"unknown gateway {unknown[0]!r}; there are {', '.join(GATEWAYS)}"
        )
    return names


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", type=names_of, default=list(GATEWAYS), metavar="NAMES",
        help=f"comma-separated, of {', '.join(GATEWAYS)}",
    )  # fmt: skip
    parser.add_argument(
        "--part", action="append", choices=PARTS, help="measure only this; may be repeated"
    )
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--rounds", type=int, help="how many rounds (default 3, quick 1)")
    parser.add_argument(
        "--profile",
        action="store_true",
        help="sample ChatVault's gateway with py-spy instead; "
        "with --only chatvault-production that mode's",
    )
    asked = parser.parse_args()
    if asked.profile:
        from benchmarks.gateways import ChatVault, ChatVaultProduction
        from benchmarks.profile import profile

        is_production = asked.only == [ChatVaultProduction.name]
        kind = ChatVaultProduction if is_production else ChatVault
        return profile(kind, streaming=asked.part == ["stream"])
    plan = Plan(asked.only, asked.part or list(PARTS), asked.quick, asked.rounds)
    return run(plan)


if __name__ == "__main__":
    sys.exit(main())
