"""Who sees and changes bills, rates, statements and closes; and who sees margins."""

from __future__ import annotations

from apps.accounts.permissions import Rows, register
from apps.accounts.principals import Principal
from apps.accounts.roles import Capability as C


def register_own() -> None:
    whole = Rows(view=C.BILLING_READ, change=C.BILLING_WRITE)
    for name in (
        "bill", "billline", "billmatch", "billadjustment", "matchrule", "exchangerate",
        "monthclose",
    ):  # fmt: skip
        register(f"invoicing.{name}", whole)
    register(
        "invoicing.statement",
        Rows(view=C.BILLING_READ, change=C.BILLING_WRITE, teams=("team_id",), changed_by=()),
    )
    register(
        "invoicing.statementline",
        Rows(view=C.BILLING_READ, teams=("statement__team_id",)),
    )


def may_see_margins(who: Principal) -> bool:
    """What providers cost us, and what is left: for who runs billing, and who audits it."""
    return who.may(C.BILLING_WRITE) or who.may(C.AUDIT_READ)
