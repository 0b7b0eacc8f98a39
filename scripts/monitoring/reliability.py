"""Reliability: the journal, ingest, Redis, the database and background jobs."""

from scripts.monitoring.panels import Dashboard, Panel, Query, Row
from scripts.monitoring.words import everywhere, gauge, grown, quantile, rate

JOURNAL = Row(
    "Journal and ingest, by node",
    (
        Panel(
            "Journal writable",
            "0 when a process of the node could not record a new request: it refuses them then.",
            "short",
            (Query(gauge("chatvault_journal_writable", by="instance", of="min"), "{{instance}}"),),
            width=8,
            most=1,
        ),
        Panel(
            "Ingest lag",
            "How late settled requests get into the database; grows while ingest does not get on.",
            "s",
            (
                Query(
                    gauge("chatvault_ingest_lag_seconds", by="instance", of="max"), "{{instance}}"
                ),
            ),
            width=8,
            warns_at=10,
            alarms_at=60,
        ),
        Panel(
            "Ingest's sign of life",
            "Time since ingest last told how it is; it does so every second.",
            "s",
            (
                Query(
                    gauge("chatvault_ingest_heartbeat_age_seconds", by="instance", of="max"),
                    "{{instance}}",
                ),
            ),
            width=8,
            alarms_at=30,
        ),
        Panel(
            "Requests into the database",
            "Rows a second; over time as many as requests that are sent to providers.",
            "reqps",
            (Query(rate("chatvault_ingest_requests_total", by="instance"), "{{instance}}"),),
            width=8,
        ),
        Panel(
            "Not in the database yet",
            "Journal bytes that wait for ingest, and all that lie in the folder.",
            "bytes",
            (
                Query(
                    gauge("chatvault_journal_unshipped_bytes", by="instance", of="max"),
                    "waiting {{instance}}",
                ),
                Query(
                    gauge("chatvault_journal_bytes", by="instance", of="max"), "all {{instance}}"
                ),
            ),
            width=8,
        ),
        Panel(
            "Room in the journal",
            "What new requests may still write before they are refused.",
            "bytes",
            (
                Query(
                    gauge("chatvault_journal_headroom_bytes", by="instance", of="min"),
                    "{{instance}}",
                ),
            ),
            width=8,
        ),
        Panel(
            "Failures of journal and ingest",
            "Syncs to disk that failed, batches that the database refused, damaged records.",
            "short",
            (
                Query(rate("chatvault_journal_sync_failures_total"), "syncs a second"),
                Query(rate("chatvault_ingest_failed_batches_total"), "batches a second"),
                Query(gauge("chatvault_journal_quarantine_files"), "damaged records, in all"),
            ),
            width=12,
        ),
        Panel(
            "Segments of the journal",
            "Files in the folder. More than a few a process: ingest is behind.",
            "short",
            (Query(gauge("chatvault_journal_segments", by="instance", of="max"), "{{instance}}"),),
            width=12,
        ),
    ),
)

REDIS = Row(
    "Redis",
    (
        Panel(
            "Redis reached",
            "0 while a process of the node does not reach Redis. Nothing is shown without Redis.",
            "short",
            (Query(gauge("chatvault_redis_up", by="instance", of="min"), "{{instance}}"),),
            width=8,
            most=1,
        ),
        Panel(
            "Round trip",
            "The latest one; the slowest process of the node.",
            "s",
            (
                Query(
                    gauge("chatvault_redis_round_trip_seconds", by="instance", of="max"),
                    "{{instance}}",
                ),
            ),
            width=8,
        ),
        Panel(
            "Epoch",
            "A step up: the limits in Redis were lost and have been rebuilt.",
            "short",
            (Query(gauge("chatvault_redis_epoch", of="max"), "epoch"),),
            width=8,
        ),
        Panel(
            "Operations and round trips",
            "Operations of one turn of the event loop share a round trip.",
            "ops",
            (
                Query(rate("chatvault_redis_operations_total"), "operations"),
                Query(rate("chatvault_redis_round_trips_total"), "round trips"),
            ),
            width=12,
        ),
        Panel(
            "Held for requests",
            "Requests of all nodes that Redis holds money for: in flight, or not booked yet.",
            "short",
            (Query(everywhere("chatvault_limits_entries"), "requests"),),
            width=8,
        ),
        Panel(
            "Limits kept",
            "1 when the limits in Redis are current, as the keeper of the node sees them.",
            "short",
            (
                Query(
                    gauge("chatvault_limits_keeper_well", by="instance", of="min"),
                    "{{instance}}",
                ),
            ),
            width=8,
            most=1,
        ),
        Panel(
            "Set right",
            "Sums in Redis that were corrected from the ledger, entries that were dropped, and how "
            "often all was built anew.",
            "short",
            (
                Query(grown("chatvault_limits_corrected_total", "1h"), "sums, last hour"),
                Query(grown("chatvault_limits_tidied_total", "1h"), "entries, last hour"),
                Query(grown("chatvault_limits_rebuilt_total", "1h"), "rebuilds, last hour"),
            ),
            width=8,
        ),
        Panel(
            "Without Redis",
            "Times that Redis was lost, and requests that were admitted while it was away.",
            "short",
            (
                Query(rate("chatvault_redis_losses_total"), "losses a second"),
                Query(rate("chatvault_redis_standby_requests_total"), "requests a second"),
            ),
            width=12,
        ),
    ),
)

DATABASE = Row(
    "Database",
    (
        Panel(
            "Database told",
            "1 while the database answers the control plane's questions.",
            "short",
            (Query(gauge("chatvault_control_plane_up", by="instance", of="min"), "{{instance}}"),),
            width=8,
            most=1,
        ),
        Panel(
            "Statements",
            "Statements a second that Django sends, by database.",
            "ops",
            (Query(rate("django_db_execute_total", by="alias, vendor"), "{{alias}} {{vendor}}"),),
            width=8,
        ),
        Panel(
            "Time of statements, p95",
            "In the database, as Django sees it.",
            "s",
            (Query(quantile(0.95, "django_db_query_duration_seconds", by="alias"), "{{alias}}"),),
            width=8,
        ),
        Panel(
            "Refused statements",
            "Statements that the database refused, and connections that could not be made.",
            "ops",
            (
                Query(rate("django_db_errors_total", by="type"), "{{type}}"),
                Query(rate("django_db_new_connection_errors_total"), "connections"),
            ),
            width=8,
        ),
        Panel(
            "Size",
            "On disk.",
            "bytes",
            (Query(everywhere("chatvault_database_size_bytes"), "database"),),
            width=8,
        ),
        Panel(
            "Partitions made ahead",
            "Days after today that have a partition already. PostgreSQL only.",
            "d",
            (Query(gauge("chatvault_partition_days_ahead", by="table", of="min"), "{{table}}"),),
            width=8,
        ),
        Panel(
            "Begun, not settled",
            "Requests that are known in the database and not settled: long ones, or lost ones.",
            "short",
            (Query(everywhere("chatvault_unbooked_requests"), "requests"),),
            width=12,
        ),
        Panel(
            "Open groups of errors",
            "Groups of errors in the admin that nobody has seen to.",
            "short",
            (Query(everywhere("chatvault_error_groups", by="state"), "{{state}}"),),
            width=12,
        ),
    ),
)

JOBS = Row(
    "Background jobs",
    (
        Panel(
            "Last run failed",
            "1 for a job whose last run went wrong.",
            "short",
            (Query(everywhere("chatvault_job_last_run_failed", by="name"), "{{name}}"),),
            kind="bargauge",
            width=8,
            most=1,
            alarms_at=1,
        ),
        Panel(
            "Since the last success",
            "By job.",
            "s",
            (
                Query(
                    "time() - "
                    + everywhere("chatvault_job_last_success_timestamp_seconds", by="name"),
                    "{{name}}",
                ),
            ),
            width=8,
        ),
        Panel(
            "Runs",
            "Runs that wait for a worker and that go on.",
            "short",
            (Query(everywhere("chatvault_job_runs", by="state"), "{{state}}"),),
            width=8,
        ),
        Panel(
            "Duration of the last run",
            "By job.",
            "s",
            (Query(everywhere("chatvault_job_last_duration_seconds", by="name"), "{{name}}"),),
            width=8,
        ),
        Panel(
            "Ledger check failed",
            "1 when requests, ledger, sums and budgets did not tell the same story.",
            "short",
            (Query(everywhere("chatvault_ledger_check_failed")),),
            kind="stat",
            width=8,
            alarms_at=1,
        ),
        Panel(
            "Age of the ledger check",
            "Since the last check ended; it is done once a day.",
            "s",
            (Query(f"time() - {everywhere('chatvault_ledger_check_timestamp_seconds')}"),),
            kind="stat",
            width=8,
            warns_at=172_800,
        ),
    ),
)

ALERTS = Row(
    "Alerts to people",
    (
        Panel(
            "Deliveries",
            "Alerts that wait for a channel, failed and are tried again, or were given up in the "
            "last day.",
            "short",
            (Query(everywhere("chatvault_alert_deliveries", by="state"), "{{state}}"),),
            width=12,
        ),
        Panel(
            "Oldest that has not arrived",
            "How long ago the oldest alert was told that is still on its way.",
            "s",
            (Query(everywhere("chatvault_alert_oldest_waiting_age_seconds")),),
            width=12,
            warns_at=300,
            alarms_at=3600,
        ),
    ),
)

DASHBOARD = Dashboard(
    "reliability",
    "ChatVault / Reliability",
    "The journal, ingest, Redis, the database, background jobs and alerts.",
    (JOURNAL, REDIS, DATABASE, JOBS, ALERTS),
)
