"""When background work is due: all of it, in this one file.

At its start the beat copies these entries into the database, where an admin may give a job another
time, pause it or run it now. Jobs find what there is to do by query, so a lost message costs one
turn and a message too many does nothing.
"""

from typing import Final

from chatvault.lib.timetable import Daily, Every, Job

_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600

TIMETABLE: Final[dict[str, Job]] = {
    "look-after-jobs": Job(
        "apps.configuration.tasks.look_after_jobs",
        Every(_MINUTE_S),
        "Finds runs whose worker died and messages that got lost, and starts them again.",
        is_recorded=False,
    ),
    "probe-deployments": Job(
        "apps.providers.tasks.probe_deployments",
        Every(15 * _MINUTE_S),
        "Asks the providers of active deployments whether they answer.",
    ),
    "fetch-issuer-keys": Job(
        "apps.accounts.tasks.fetch_issuer_keys",
        Every(15 * _MINUTE_S),
        "Asks outside issuers of JWTs for their keys, each once in the time that is set.",
    ),
    "roll-up-recent-hours": Job(
        "apps.usage.tasks.roll_up_recent_hours",
        Every(_HOUR_S),
        "Recomputes the hourly sums of every hour that closed since the last run.",
    ),
    "sum-up-days": Job(
        "apps.usage.tasks.sum_up_days",
        Every(_HOUR_S),
        "Sums up the days that are over, for reports of long spans.",
    ),
    "tend-exports": Job(
        "apps.usage.tasks.tend_exports",
        Every(5 * _MINUTE_S),
        "Goes on with exports that were interrupted, and removes files that are kept no longer.",
        is_recorded=False,
    ),
    "review-errors": Job(
        "apps.usage.tasks.review_errors",
        Every(5 * _MINUTE_S),
        "Opens errors again that came back, notes which credentials work again, forgets the old.",
        is_recorded=False,
    ),
    "watch-for-alerts": Job(
        "apps.alerts.tasks.watch",
        Every(_MINUTE_S),
        "Looks for budgets that reached a line and for other troubles; sends alerts that wait.",
        is_recorded=False,
    ),
    "roll-budgets-over": Job(
        "apps.billing.tasks.roll_budgets_over",
        Every(_MINUTE_S),
        "Has gateways learn what is left of budgets that roll over once a period has begun.",
        is_recorded=False,
    ),
    "forget-alerts": Job(
        "apps.alerts.tasks.forget_alerts",
        Daily(2, 20),
        "Removes alerts and deliveries that are older than the settings keep them.",
    ),
    "forecast-budgets": Job(
        "apps.forecasts.tasks.forecast_budgets",
        Daily(3, 50),
        "Forecasts every active budget and tells of those that will not last.",
    ),
    "keep-partitions": Job(
        "apps.usage.tasks.keep_partitions",
        Every(_HOUR_S),
        "Makes the partitions of the days ahead; without PostgreSQL there are none.",
    ),
    "apply-retention": Job(
        "apps.usage.tasks.apply_retention",
        Daily(2, 10),
        "Removes requests and attempts that are older than the settings keep them.",
    ),
    "forget-the-old": Job(
        "apps.configuration.tasks.forget_the_old",
        Daily(1, 40),
        "Removes expired sessions, read announcements and old runs of jobs.",
    ),
    "forget-oauth": Job(
        "apps.oauth.tasks.forget_oauth",
        Daily(1, 50),
        "Removes OAuth codes and tokens that have ended.",
    ),
    "compare-catalogue": Job(
        "apps.billing.tasks.compare_catalogue",
        Daily(4, 10),
        "Notes where the public catalogue differs from price books; changes no price.",
    ),
    "verify-new-audit": Job(
        "apps.configuration.tasks.verify_new_audit",
        Every(_HOUR_S),
        "Proves that the audit events since the last time are as they were written.",
    ),
    "verify-audit": Job(
        "apps.configuration.tasks.verify_audit",
        Daily(3, 40),
        "Proves that the whole audit trail is as it was written; fails when it is not.",
    ),
    "book-volume-rebates": Job(
        "apps.repricing.tasks.book_volume_rebates",
        Daily(2, 50),
        "Gives back what the volume of the last two whole months earns, as adjustments.",
    ),
    "verify-ledger": Job(
        "apps.usage.tasks.verify_ledger",
        Daily(3, 10),
        "Proves that requests, ledger, hourly sums and budgets agree; fails when they do not.",
    ),
    "compare-bills": Job(
        "apps.invoicing.tasks.compare_bills",
        Daily(5, 20),
        "Sets accepted bills of providers beside our cost again, and tells of drift.",
    ),
}
