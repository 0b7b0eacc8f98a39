"""Rows for tests. Every function takes the model's fields as keywords and fills in the rest;
`configuration` makes a whole working one, from provider to key."""

from __future__ import annotations

from tests.factories.accounts import (
    make_client,
    make_key,
    make_membership,
    make_person,
    make_team,
    make_user,
)
from tests.factories.billing import (
    make_budget,
    make_ledger_entry,
    make_price,
    make_price_book,
    make_quota,
    make_tier,
)
from tests.factories.configuration import World, make_document, make_world
from tests.factories.invoicing import make_bill, make_statement
from tests.factories.providers import (
    make_alias,
    make_credential,
    make_deployment,
    make_provider,
)
from tests.factories.usage import (
    make_attempt,
    make_full_request,
    make_latency_hour,
    make_request,
    make_rollup,
    make_tag_hour,
)

__all__ = [
    "World",
    "make_alias",
    "make_attempt",
    "make_bill",
    "make_budget",
    "make_client",
    "make_credential",
    "make_deployment",
    "make_document",
    "make_full_request",
    "make_key",
    "make_latency_hour",
    "make_ledger_entry",
    "make_membership",
    "make_person",
    "make_price",
    "make_price_book",
    "make_provider",
    "make_quota",
    "make_request",
    "make_rollup",
    "make_statement",
    "make_tag_hour",
    "make_team",
    "make_tier",
    "make_user",
    "make_world",
]
