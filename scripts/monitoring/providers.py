"""Providers and deployments: who answers, how fast, and who fails."""

from scripts.monitoring.panels import Dashboard, Panel, Query, Row
from scripts.monitoring.words import average, everywhere, gauge, quantile, rate

_FAILED = 'code!="ok"'

HEALTH = Row(
    "Health",
    (
        Panel(
            "Failed calls by provider",
            "Share of the calls to a provider that failed, those that a retry or a fallback mended "
            "included.",
            "percentunit",
            (
                Query(
                    f"{rate('chatvault_attempts_total', by='provider', more=_FAILED)}"
                    f" / {rate('chatvault_attempts_total', by='provider')}",
                    "{{provider}}",
                ),
            ),
            most=1,
        ),
        Panel(
            "Deployments left alone",
            "1 while the circuit breaker of a deployment is open.",
            "short",
            (Query(gauge("chatvault_breaker_open", by="deployment", of="max"), "{{deployment}}"),),
            most=1,
        ),
        Panel(
            "Probes answered",
            "1 when a deployment answered the last regular look at it.",
            "short",
            (Query(everywhere("chatvault_probe_success", by="deployment"), "{{deployment}}"),),
            most=1,
        ),
        Panel(
            "Time of probes",
            "How long the last regular look took.",
            "s",
            (
                Query(
                    everywhere("chatvault_probe_duration_seconds", by="deployment"),
                    "{{deployment}}",
                ),
            ),
        ),
        Panel(
            "Failed calls by code",
            "Calls to providers that failed, by code and deployment.",
            "reqps",
            (
                Query(
                    rate("chatvault_attempts_total", by="deployment, code", more=_FAILED),
                    "{{deployment}} {{code}}",
                ),
            ),
        ),
        Panel(
            "Retries and fallbacks",
            "Calls that were made because another call had failed the same request.",
            "reqps",
            (
                Query(rate("chatvault_retries_total", by="deployment"), "retry {{deployment}}"),
                Query(
                    rate("chatvault_fallbacks_total", by="deployment"), "fallback {{deployment}}"
                ),
            ),
        ),
    ),
)

LOAD = Row(
    "Load",
    (
        Panel(
            "Calls by provider",
            "Calls a second, failed ones included.",
            "reqps",
            (Query(rate("chatvault_attempts_total", by="provider"), "{{provider}}"),),
            is_stacked=True,
        ),
        Panel(
            "Calls by deployment",
            "Calls a second, failed ones included.",
            "reqps",
            (Query(rate("chatvault_attempts_total", by="deployment"), "{{deployment}}"),),
            is_stacked=True,
        ),
        Panel(
            "Connections to providers",
            "Busy ones carry an answer now; idle ones are kept for the next request.",
            "short",
            (Query(gauge("chatvault_upstream_connections", by="state"), "{{state}}"),),
            is_stacked=True,
        ),
        Panel(
            "Tokens by provider",
            "Tokens a second of all kinds.",
            "short",
            (Query(rate("chatvault_tokens_total", by="provider"), "{{provider}}"),),
            is_stacked=True,
        ),
    ),
)

TIMES = Row(
    "Times by deployment",
    (
        Panel(
            "Duration, p95",
            "From a request's arrival to its last byte.",
            "s",
            (
                Query(
                    quantile(0.95, "chatvault_request_duration_seconds", by="deployment"),
                    "{{deployment}}",
                ),
            ),
        ),
        Panel(
            "First token, p95",
            "Of streamed requests.",
            "s",
            (
                Query(
                    quantile(0.95, "chatvault_time_to_first_token_seconds", by="deployment"),
                    "{{deployment}}",
                ),
            ),
        ),
        Panel(
            "Output speed, mean",
            "Output tokens a second of one stream, after its first token.",
            "short",
            (
                Query(
                    average("chatvault_output_tokens_per_second", by="deployment"),
                    "{{deployment}}",
                ),
            ),
        ),
        Panel(
            "Deployments",
            "What can be called now, with the provider's own name of the model.",
            "short",
            (
                Query(
                    gauge(
                        "chatvault_deployment_info",
                        by="deployment, provider, family, model",
                        of="max",
                    )
                ),
            ),
            kind="table",
        ),
    ),
)

DASHBOARD = Dashboard(
    "providers",
    "ChatVault / Providers and deployments",
    "Who answers, how fast, and who fails.",
    (HEALTH, LOAD, TIMES),
)
