"""Who sees the request log, the errors and the journal."""

from __future__ import annotations

from apps.accounts.permissions import Rows, register
from apps.accounts.roles import Capability as C


def register_own() -> None:
    of_team = Rows(view=C.USAGE_READ, teams=("team_id",))
    register("usage.requestlog", of_team)
    register("usage.hourlyrollup", of_team)
    register("usage.taghour", of_team)
    register("usage.latencyhour", of_team)
    register("usage.ledgercheck", Rows(view=C.BILLING_READ, change=C.BILLING_WRITE))
    register("usage.dayrollup", of_team)
    register("usage.usageexport", Rows(view=C.USAGE_READ, change=C.USAGE_READ, teams=("team_id",)))
    of_client = Rows(view=C.USAGE_READ, change=C.OPERATIONS_WRITE, client_column="client_id")
    register("usage.errorgroup", of_client)
    register("usage.refusalsample", Rows(view=C.USAGE_READ, client_column="client_id"))
    register("usage.journalcursor", Rows(view=C.OPERATIONS_READ))
