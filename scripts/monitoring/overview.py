"""Overview and traffic: what clients get."""

from scripts.monitoring.panels import Dashboard, Panel, Query, Row
from scripts.monitoring.words import average, gauge, grown, or_zero, quantile, quantiles, rate

_SERVER = 'result="server_error"'
_BAD = (
    f"({or_zero(rate('chatvault_requests_total', more=_SERVER))})"
    f" + ({or_zero(rate('chatvault_refusals_total', more=_SERVER))})"
)
_ALL = (
    f"({or_zero(rate('chatvault_requests_total'))})"
    f" + ({or_zero(rate('chatvault_refusals_total', more=_SERVER))})"
)

NOW = Row(
    "Now",
    (
        Panel(
            "Requests",
            "Requests a second that were sent to a provider.",
            "reqps",
            (Query(rate("chatvault_requests_total")),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Availability",
            "Share of requests that did not fail for a reason of ours or of the providers. What "
            "clients did wrong does not count.",
            "percentunit",
            (Query(f"1 - ({_BAD}) / ({_ALL})"),),
            kind="stat",
            width=4,
            most=1,
        ),
        Panel(
            "First token, p95",
            "Within this time 19 of 20 streams had their first token.",
            "s",
            (Query(quantile(0.95, "chatvault_time_to_first_token_seconds")),),
            kind="stat",
            width=4,
            warns_at=2.5,
            alarms_at=10,
        ),
        Panel(
            "Running",
            "Requests whose books are open now.",
            "short",
            (Query(gauge("chatvault_requests_running")),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Waiting",
            "Requests that wait for admission because of load.",
            "short",
            (Query(or_zero(gauge("chatvault_queue_length"))),),
            kind="stat",
            width=4,
            warns_at=1,
            alarms_at=50,
        ),
        Panel(
            "Charged, last 24 h",
            "What clients were charged in the last 24 hours.",
            "currencyUSD",
            (Query(grown("chatvault_charged_usd_total", "24h")),),
            kind="stat",
            width=4,
        ),
    ),
)

TRAFFIC = Row(
    "Traffic",
    (
        Panel(
            "Requests by alias",
            "Requests a second that were sent to a provider, by the model that was asked for.",
            "reqps",
            (Query(rate("chatvault_requests_total", by="alias"), "{{alias}}"),),
            is_stacked=True,
        ),
        Panel(
            "Requests by result",
            "ok; client_error: the provider or we refused what was asked; server_error: a fault of "
            "ours or of a provider; cancelled: the client hung up.",
            "reqps",
            (Query(rate("chatvault_requests_total", by="result"), "{{result}}"),),
            is_stacked=True,
        ),
        Panel(
            "Errors by code",
            "Requests that were sent and failed, by the code that the client saw (docs/errors.md).",
            "reqps",
            (Query(rate("chatvault_requests_total", by="code", more='code!="ok"'), "{{code}}"),),
        ),
        Panel(
            "Refusals by code",
            "Requests that were refused before a provider was called: keys, limits, budgets, load.",
            "reqps",
            (Query(rate("chatvault_refusals_total", by="code"), "{{code}}"),),
        ),
        Panel(
            "Breaches of the pages' policy",
            "What browsers report of content that a page may not load or run; none is right.",
            "reqps",
            (Query(rate("chatvault_csp_violations_total", by="directive"), "{{directive}}"),),
        ),
    ),
)

TIMES = Row(
    "Times",
    (
        Panel(
            "Duration of requests",
            "From the arrival to the last byte; most of it is the provider's.",
            "s",
            quantiles("chatvault_request_duration_seconds", 0.5, 0.95, 0.99),
        ),
        Panel(
            "Time to the first token",
            "Of streamed requests.",
            "s",
            quantiles("chatvault_time_to_first_token_seconds", 0.5, 0.95, 0.99),
        ),
        Panel(
            "Duration by alias, mean",
            "From the arrival to the last byte.",
            "s",
            (Query(average("chatvault_request_duration_seconds", by="alias"), "{{alias}}"),),
        ),
        Panel(
            "Output speed of a stream",
            "Output tokens a second after the first token, median and slowest twentieth.",
            "short",
            quantiles("chatvault_output_tokens_per_second", 0.5, 0.05),
        ),
    ),
)

TOKENS = Row(
    "Tokens",
    (
        Panel(
            "Tokens by kind",
            "Tokens a second. Kinds do not overlap: input is without what came from the provider's "
            "cache, output without reasoning.",
            "short",
            (Query(rate("chatvault_tokens_total", by="kind"), "{{kind}}"),),
            is_stacked=True,
        ),
        Panel(
            "Tokens by alias",
            "Tokens a second of all kinds.",
            "short",
            (Query(rate("chatvault_tokens_total", by="alias"), "{{alias}}"),),
            is_stacked=True,
        ),
    ),
)

DASHBOARD = Dashboard(
    "overview",
    "ChatVault / Overview",
    "What clients ask for and what they get.",
    (NOW, TRAFFIC, TIMES, TOKENS),
)
