from __future__ import annotations

import pytest

from apps.billing.limits import (
    Demand,
)
from chatvault.lib.errors import BudgetExhausted, RateLimited
from tests.billing.limits_clocked import USD, budget, quota


async def test_a_refusal_by_rate_says_what_is_reached_and_when_it_ends(clocked):
    scope = quota("tokens", 100, kind="team")
    await clocked.reserve(scope, tokens=90)
    clocked.sleep(20)
    with pytest.raises(RateLimited) as refused:
        await clocked.reserve(scope, tokens=50)
    headers = refused.value.headers
    wait_ms = int(headers["retry-after-ms"])
    assert headers["retry-after"] == str(-(-wait_ms // 1000))
    assert 40_000 <= wait_ms <= 41_000
    assert headers["x-ratelimit-limit-tokens"] == "100"
    assert headers["x-ratelimit-remaining-tokens"] == "10"
    assert headers["x-ratelimit-reset-tokens"].endswith("s")
    assert headers["x-chatvault-ratelimit-scope"] == "refused=team, tokens=team"
    assert "x-ratelimit-limit-requests" not in headers
    assert refused.value.message == (
        f"This team may use 100 tokens per 60 s. Try again in {headers['retry-after']} s."
    )
    clocked.sleep((wait_ms - 2) / 1000)
    assert await clocked.admitted(scope, attempts=1, tokens=50) == 0
    clocked.sleep(0.002)
    assert await clocked.admitted(scope, attempts=1, tokens=50) == 1


async def test_of_several_rates_reached_the_longest_wait_is_told(clocked):
    scopes = (quota("requests", 1, id=1, window_s=1), quota("requests", 1, id=2, window_s=3600))
    await clocked.reserve(*scopes)
    with pytest.raises(RateLimited) as refused:
        await clocked.reserve(*scopes)
    assert int(refused.value.headers["retry-after"]) >= 3600


async def test_a_demand_above_the_ceiling_itself_is_not_worth_a_retry(clocked):
    with pytest.raises(RateLimited) as refused:
        await clocked.reserve(quota("tokens", 100), tokens=101)
    assert refused.value.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.value.headers
    assert "can use 101" in refused.value.message


async def test_a_full_house_asks_to_come_back_in_a_second(clocked):
    scope = quota("concurrency", 1, kind="client")
    await clocked.reserve(scope)
    with pytest.raises(RateLimited) as refused:
        await clocked.reserve(scope)
    assert refused.value.headers == {
        "retry-after": "1",
        "retry-after-ms": "1000",
        "x-chatvault-ratelimit-scope": "refused=client",
    }
    assert refused.value.message == (
        "This client may have 1 requests in flight at a time. Try again in 1 s."
    )


async def test_messages_tell_kind_and_amount_and_no_ids(clocked):
    purse = budget(2 * USD, "day", id=987_654, kind="team")
    await clocked.limits.settle(await clocked.reserve(purse, nano=USD), tokens=0, nano_usd=USD)
    with pytest.raises(BudgetExhausted) as refused:
        await clocked.reserve(purse, nano=USD + 1)
    assert refused.value.message == (
        "The daily budget of this team is $2.00: $1.00 is spent and the request can cost up to "
        "$1.000000001."
    )


@pytest.mark.parametrize("demand", [Demand(-1, 0), Demand(0, -1)])
async def test_a_negative_demand_is_a_fault_of_the_caller(clocked, demand):
    with pytest.raises(ValueError, match="not negative"):
        await clocked.limits.reserve(b"n" * 16, (), demand)


async def test_negative_amounts_resolve_nothing(clocked):
    request_id = await clocked.reserve(budget(100), nano=60)
    with pytest.raises(ValueError, match="not negative"):
        await clocked.limits.settle(request_id, tokens=0, nano_usd=-1)
    with pytest.raises(ValueError, match="not negative"):
        await clocked.limits.extend(request_id, -1)
    assert clocked.limits.reserved_nano == 60
