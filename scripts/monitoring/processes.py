"""Processes and capacity: what runs where, and how much room is left."""

from scripts.monitoring.panels import Dashboard, Panel, Query, Row
from scripts.monitoring.words import everywhere, gauge, grown, quantile, quantiles, rate

_PROCESS = "instance, process"
_LEGEND = "{{instance}} {{process}}"
_GATEWAY_CPU = rate("chatvault_process_cpu_seconds_total", more='process=~"gateway.*"')

PROCESSES = Row(
    "Processes",
    (
        Panel(
            "Processor",
            "Cores in use. A gateway process can use one.",
            "short",
            (Query(rate("chatvault_process_cpu_seconds_total", by=_PROCESS), _LEGEND),),
        ),
        Panel(
            "Memory",
            "Resident memory.",
            "bytes",
            (Query(gauge("chatvault_process_resident_memory_bytes", by=_PROCESS), _LEGEND),),
            is_stacked=True,
        ),
        Panel(
            "Event loop lag",
            "How late the event loop of a gateway woke up; every request and every chunk waits so "
            "long. The worst of 15 s.",
            "s",
            (Query(gauge("chatvault_event_loop_lag_seconds", by=_PROCESS, of="max"), _LEGEND),),
            warns_at=0.1,
            alarms_at=0.5,
        ),
        Panel(
            "File descriptors in use",
            "Share of those that a process may open; a request takes two.",
            "percentunit",
            (
                Query(
                    f"{gauge('chatvault_process_open_fds', by=_PROCESS)}"
                    f" / {gauge('chatvault_process_max_fds', by=_PROCESS)}",
                    _LEGEND,
                ),
            ),
            most=1,
            alarms_at=0.8,
        ),
        Panel(
            "Starts",
            "Processes that were started in the last hour; a rolling restart starts each gateway "
            "once.",
            "short",
            (Query(grown("chatvault_process_starts_total", "1h", by="process"), "{{process}}"),),
        ),
        Panel(
            "Threads",
            "By process.",
            "short",
            (Query(gauge("chatvault_process_threads", by=_PROCESS), _LEGEND),),
        ),
    ),
)

CAPACITY = Row(
    "Capacity of the gateways",
    (
        Panel(
            "Running requests and streams",
            "Requests whose books are open, by node.",
            "short",
            (
                Query(gauge("chatvault_requests_running", by="instance"), "requests {{instance}}"),
                Query(gauge("chatvault_streams_running", by="instance"), "streams {{instance}}"),
            ),
        ),
        Panel(
            "Queue",
            "Requests that wait for admission because of load.",
            "short",
            (Query(gauge("chatvault_queue_length", by="instance"), "{{instance}}"),),
        ),
        Panel(
            "Wait in the queue",
            "Of requests that had to wait.",
            "s",
            quantiles("chatvault_queue_wait_seconds", 0.5, 0.99),
        ),
        Panel(
            "Turned away",
            "Requests that were turned away because of load, by reason.",
            "reqps",
            (Query(rate("chatvault_shed_total", by="reason"), "{{reason}}"),),
        ),
        Panel(
            "Processor time of a request",
            "Of the gateway processes, over all requests that were sent to a provider.",
            "s",
            (Query(f"{_GATEWAY_CPU} / {rate('chatvault_requests_total')}"),),
        ),
        Panel(
            "Draining",
            "Processes that finish their requests to stop.",
            "short",
            (Query(gauge("chatvault_draining", by="instance"), "{{instance}}"),),
        ),
    ),
)

CONFIGURATION = Row(
    "Configuration and the admin",
    (
        Panel(
            "Revision",
            "The newest revision, and the oldest that a gateway serves; they differ for a second.",
            "short",
            (
                Query(everywhere("chatvault_configuration_revision"), "newest"),
                Query(gauge("chatvault_snapshot_revision", of="min"), "served"),
            ),
        ),
        Panel(
            "Age of the configuration in gateways",
            "Time since a gateway last made sure that it serves the newest revision.",
            "s",
            (
                Query(
                    gauge("chatvault_snapshot_age_seconds", by="instance", of="max"),
                    "{{instance}}",
                ),
            ),
            alarms_at=60,
        ),
        Panel(
            "Answers of the admin and the API",
            "By status.",
            "reqps",
            (
                Query(
                    rate("django_http_responses_total_by_status_total", by="status"), "{{status}}"
                ),
            ),
            is_stacked=True,
        ),
        Panel(
            "Time of the admin and the API",
            "Within this time 19 of 20 pages were answered.",
            "s",
            (
                Query(
                    quantile(0.95, "django_http_requests_latency_including_middlewares_seconds"),
                    "p95",
                ),
            ),
        ),
        Panel(
            "Objects",
            "Active objects of the configuration.",
            "short",
            (Query(everywhere("chatvault_objects", by="kind"), "{{kind}}"),),
        ),
        Panel(
            "Sessions and exceptions",
            "Open sessions of the admin, and exceptions that its views raised a second.",
            "short",
            (
                Query(everywhere("chatvault_sessions"), "sessions"),
                Query(
                    rate("django_http_exceptions_total_by_type_total", by="type"),
                    "{{type}} a second",
                ),
            ),
        ),
        Panel(
            "Versions",
            "What runs.",
            "short",
            (Query(gauge("chatvault_build_info", by="instance, version, python", of="max")),),
            kind="table",
            width=24,
        ),
    ),
)

DASHBOARD = Dashboard(
    "processes",
    "ChatVault / Processes and capacity",
    "What runs where, and how much room is left.",
    (PROCESSES, CAPACITY, CONFIGURATION),
)
