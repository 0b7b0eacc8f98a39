"""No secret is anywhere but where it has to be (promise S3)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.canary import sinks, traffic
from tests.canary.site import Site, running
from tests.fakes.upstream import FAULTS

pytestmark = [pytest.mark.run, pytest.mark.long, pytest.mark.xdist_group("run")]

IS_LONG = bool(os.environ.get("CHATVAULT_TEST_CANARY"))
SHORT = {
    "good": "gpt-4o-mini",
    "refused": "fault:401",
    "leaky": "fault:400-canary",
    "failing": "fault:500",
    "broken": "fault:eof-after-2",
}
COMMANDS = ("config export", "verify_audit", "verify_ledger", "check", "check --deploy")
_ENDLESS = ("endless", "loop", "stall", "slow", "trickle", "huge", "gzip-bomb", "long-line")


def long_models() -> dict[str, str]:
    """Every fault of the fake provider that ends by itself."""
    ending = [name for name in FAULTS if not name.startswith(_ENDLESS)]
    numbered = ("reset-after", "eof-after", "ends-after", "error-event-after", "bad-event-after")
    return {"good": "gpt-4o-mini"} | {
        f"f-{name}": f"fault:{name}-2" if name in numbered else f"fault:{name}" for name in ending
    }


def check(site: Site) -> None:
    places = list(site.places())
    assert len(places) > 60, "sinks are missing"
    names = [place.name.partition(" ")[0] for place in places]
    assert set(names) >= {"log", "traces", "file", "column", "process", "page", "error", "command"}
    log = site.tree.output()
    for code in ("ok", "upstream_credential_refused", "invalid_api_key", "malformed_json"):
        assert f'"code":"{code}"' in log, f"no request ended with {code}"
    assert "upstream_broken" in log
    found = sinks.hits(site.marks.values(), places)
    assert not found, "\n".join(found)


@pytest.mark.skipif(IS_LONG, reason="the long run does all of it")
def test_no_secret_is_anywhere_it_does_not_belong(tmp_path: Path) -> None:
    with running(tmp_path, SHORT, with_servers=False) as site:
        traffic.everything(site, pages=30, commands=())
        check(site)
        (site.tree.home / "core").write_text(site.secret("pepper")[4:14])
        planted = [place for place in site.places() if place.name == "file core"]
        assert sinks.hits(site.marks.values(), planted), "the scanner is blind"


@pytest.mark.skipif(not IS_LONG, reason="`make canary`")
@pytest.mark.parametrize("with_servers", [False, True], ids=["embedded", "servers"])
def test_no_secret_is_anywhere_under_every_fault(tmp_path: Path, with_servers: bool) -> None:
    with running(tmp_path, long_models(), with_servers=with_servers) as site:
        traffic.everything(site, pages=400, commands=COMMANDS)
        check(site)
