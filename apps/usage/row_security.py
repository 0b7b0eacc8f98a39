"""PostgreSQL's row-level security as a second wall between teams (the first one is our own code).

A session says in the setting `chatvault.team_ids` whose rows it may see: `*` for all of them, as
ingest, gateways and jobs do, or ids with commas; a session that says nothing sees nothing. It
holds for roles that own no table, and guards against a filter that was forgotten: whoever can run
SQL of their own can also say `*`.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import connection, transaction
from psycopg import sql

from apps.usage import partitions
from chatvault.lib import databases

_OF_TEAM: Final = "team_id = ANY ((SELECT chatvault_team_ids())::bigint[])"
_OF_CLIENT: Final = "client_id IN (SELECT id FROM accounts_client)"
_OF_OWNER: Final = (
    "team_id = ANY ((SELECT chatvault_team_ids())::bigint[]) "
    "OR client_id IN (SELECT id FROM accounts_client) "
    "OR key_id IN (SELECT id FROM accounts_apikey)"
)
_OF_PAYER: Final = "payer_id IN (SELECT id FROM accounts_client)"
_OF_APPLICATION: Final = "application_id IN (SELECT id FROM oauth_application)"
_OF_STATEMENT: Final = "statement_id IN (SELECT id FROM invoicing_statement)"
_OF_NOBODY: Final = "false"
POLICIES: Final = {
    "accounts_team": "id = ANY ((SELECT chatvault_team_ids())::bigint[])",
    "accounts_membership": _OF_TEAM,
    "accounts_client": _OF_TEAM,
    "accounts_client_aliases": _OF_CLIENT,
    "accounts_apikey": _OF_CLIENT,
    "accounts_apikey_aliases": "apikey_id IN (SELECT id FROM accounts_apikey)",
    "accounts_tokensession": "client_id IS NULL OR client_id IN (SELECT id FROM accounts_client)",
    "accounts_issuerrule": _OF_CLIENT,
    "audit_auditevent": _OF_TEAM,
    "audit_audithead": _OF_NOBODY,
    "audit_auditcheckpoint": _OF_NOBODY,
    "oauth_application": _OF_PAYER,
    "oauth_initialaccesstoken": _OF_PAYER,
    "oauth_grant": _OF_APPLICATION,
    "oauth_accesstoken": _OF_APPLICATION,
    "oauth_refreshtoken": _OF_APPLICATION,
    "oauth_idtoken": _OF_APPLICATION,
    "oauth_devicegrant": "client_id IN (SELECT client_id FROM oauth_application)",
    "billing_quota": _OF_OWNER,
    "billing_quotaoverride": "quota_id IN (SELECT id FROM billing_quota)",
    "billing_quotahour": "quota_id IN (SELECT id FROM billing_quota)",
    "billing_budget": _OF_OWNER,
    "billing_budgetstage": "budget_id IN (SELECT id FROM billing_budget)",
    "billing_budgetraise": "budget_id IN (SELECT id FROM billing_budget)",
    "billing_budgetwindow": "budget_id IN (SELECT id FROM billing_budget)",
    "billing_ledgerentry": _OF_TEAM,
    "billing_closedperiod": f"team_id IS NULL OR {_OF_TEAM}",
    "usage_requestlog": _OF_TEAM,
    "usage_hourlyrollup": _OF_TEAM,  # of the version before, until it goes away
    "usage_hoursums": _OF_TEAM,
    "usage_taghour": _OF_TEAM,
    "usage_latencyhour": _OF_TEAM,
    "usage_dayrollup": _OF_TEAM,
    "usage_sumview": _OF_TEAM,
    "usage_latencyview": _OF_TEAM,
    "usage_tagday": _OF_TEAM,
    "usage_usageexport": "team_ids <@ to_jsonb((SELECT chatvault_team_ids()))",
    "usage_attempt": "EXISTS (SELECT 1 FROM usage_requestlog WHERE "
    "usage_requestlog.request_id = usage_attempt.request_id)",
    "usage_refusalsample": _OF_CLIENT,
    "usage_errorgroup": _OF_CLIENT,
    "usage_openintent": _OF_NOBODY,
    "alerts_channel": _OF_TEAM,
    "alerts_alert": _OF_TEAM,
    "alerts_delivery": "channel_id IN (SELECT id FROM alerts_channel)",
    "alerts_budgetlines": "budget_id IN (SELECT id FROM billing_budget)",
    "alerts_budgetwatch": "budget_id IN (SELECT id FROM billing_budget)",
    "repricing_repricing": _OF_NOBODY,
    "repricing_repricingline": _OF_NOBODY,
    "repricing_repricedrequest": _OF_NOBODY,
    "forecasts_budgetforecast": "budget_id IN (SELECT id FROM billing_budget)",
    "forecasts_whatif": _OF_CLIENT,
    "sign_in_invitation": _OF_TEAM,
    "sign_in_rolerule": _OF_TEAM,
    "invoicing_statement": _OF_TEAM,
    "invoicing_statementline": _OF_STATEMENT,
    "invoicing_statementfile": _OF_STATEMENT,
    "invoicing_creditedentry": _OF_STATEMENT,
    "sign_in_mappedrole": _OF_TEAM,
}
"""By table: which rows are of the teams that the session named. What a table refers to is
protected itself, so a subquery finds only what the session may see."""

_FUNCTION: Final = (
    "CREATE OR REPLACE FUNCTION chatvault_team_ids() RETURNS bigint[] LANGUAGE sql STABLE "
    "PARALLEL SAFE AS $$ SELECT string_to_array(nullif(nullif("
    "current_setting('chatvault.team_ids', true), '*'), ''), ',')::bigint[] $$"
)
_ON: Final = (
    "DROP POLICY IF EXISTS chatvault_all ON {table}",
    "DROP POLICY IF EXISTS chatvault_teams ON {table}",
    "CREATE POLICY chatvault_all ON {table} "
    "USING ((SELECT current_setting('chatvault.team_ids', true)) = '*')",
    "CREATE POLICY chatvault_teams ON {table} USING ({rows})",
    "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
)
_OFF: Final = (
    "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
    "DROP POLICY IF EXISTS chatvault_all ON {table}",
    "DROP POLICY IF EXISTS chatvault_teams ON {table}",
)


def switch_on() -> None:
    """Protect every table of POLICIES; again, it renews the policies."""
    _switch(_ON, "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")


def switch_off() -> None:
    _switch(_OFF, "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")


def protected() -> set[str]:
    """The tables of POLICIES on which it is on."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity "
            "AND relnamespace = current_schema()::regnamespace AND relname = ANY(%s)",
            [list(POLICIES)],
        )
        return {row[0] for row in cursor.fetchall()}


def _switch(statements: tuple[str, ...], for_partitions: str) -> None:
    """Table by table, so that no lock is held for long. A partition that somebody asks by its own
    name has no policy and shows nothing."""
    with databases.as_owner():
        _run(_FUNCTION)
        for table, rows in POLICIES.items():
            with transaction.atomic():
                for statement in statements:
                    _run(statement, table=sql.Identifier(table), rows=sql.SQL(rows))
        for partition in partitions.listing():
            _run(for_partitions, table=sql.Identifier(partition.name))


def _run(statement: str, **names: Any) -> None:
    with connection.cursor() as cursor:
        composed = sql.SQL(statement).format(**names) if names else sql.SQL(statement)
        cursor.execute(composed.as_string(cursor.connection))
