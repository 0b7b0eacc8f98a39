"""Money, budgets and quotas."""

from scripts.monitoring.panels import Dashboard, Panel, Query, Row
from scripts.monitoring.words import everywhere, gauge, grown, rate

_BUDGET = "budget, scope, period"
_LEGEND = "{{scope}} budget {{budget}} ({{period}})"
_HOUR = 3600

SPENDING = Row(
    "Spending",
    (
        Panel(
            "Charged, last 24 h",
            "What clients were charged.",
            "currencyUSD",
            (Query(grown("chatvault_charged_usd_total", "24h")),),
            kind="stat",
            width=6,
        ),
        Panel(
            "Cost, last 24 h",
            "The same requests at list price.",
            "currencyUSD",
            (Query(grown("chatvault_cost_usd_total", "24h")),),
            kind="stat",
            width=6,
        ),
        Panel(
            "Budgets used to 80 %",
            "Active budgets of which at least 80 % are spent or held.",
            "short",
            (Query(everywhere("chatvault_budgets", more='at_least="0.8"')),),
            kind="stat",
            width=6,
            warns_at=1,
        ),
        Panel(
            "Budgets spent",
            "Active budgets of which nothing is left: their requests are refused.",
            "short",
            (Query(everywhere("chatvault_budgets", more='at_least="1"')),),
            kind="stat",
            width=6,
            alarms_at=1,
        ),
        Panel(
            "Charged by alias",
            "US dollars an hour, at the present rate.",
            "currencyUSD",
            (Query(f"{_HOUR} * {rate('chatvault_charged_usd_total', by='alias')}", "{{alias}}"),),
            is_stacked=True,
        ),
        Panel(
            "Cost by provider",
            "US dollars an hour at list price, at the present rate.",
            "currencyUSD",
            (
                Query(
                    f"{_HOUR} * {rate('chatvault_cost_usd_total', by='provider')}",
                    "{{provider}}",
                ),
            ),
            is_stacked=True,
        ),
        Panel(
            "Margin",
            "Charged less cost: US dollars an hour, at the present rate.",
            "currencyUSD",
            (
                Query(
                    f"{_HOUR} * ({rate('chatvault_charged_usd_total')}"
                    f" - {rate('chatvault_cost_usd_total')})"
                ),
            ),
        ),
        Panel(
            "Cost of 1,000 tokens",
            "At list price, over tokens of all kinds, by deployment.",
            "currencyUSD",
            (
                Query(
                    f"1000 * {rate('chatvault_cost_usd_total', by='deployment')}"
                    f" / {rate('chatvault_tokens_total', by='deployment')}",
                    "{{deployment}}",
                ),
            ),
        ),
    ),
)

LIMITS = Row(
    "Budgets and quotas",
    (
        Panel(
            "Tightest budgets",
            "Spent and held as a part of the amount. The number is the budget's id in the admin.",
            "percentunit",
            (Query(everywhere("chatvault_budget_used_ratio", by=_BUDGET), _LEGEND),),
            kind="bargauge",
            most=1,
            warns_at=0.8,
            alarms_at=1,
        ),
        Panel(
            "Budgets over time",
            "Spent and held as a part of the amount.",
            "percentunit",
            (Query(everywhere("chatvault_budget_used_ratio", by=_BUDGET), _LEGEND),),
        ),
        Panel(
            "Left of the tightest budgets",
            "Amount less what is spent in the period.",
            "currencyUSD",
            (
                Query(
                    f"{everywhere('chatvault_budget_amount_usd', by=_BUDGET)}"
                    f" - {everywhere('chatvault_budget_spent_usd', by=_BUDGET)}",
                    _LEGEND,
                ),
            ),
        ),
        Panel(
            "Tightest quotas",
            "How much of the tightest quota of requests and of tokens was used at an admission.",
            "percentunit",
            (Query(gauge("chatvault_quota_used_ratio", by="unit", of="max"), "{{unit}}"),),
            warns_at=0.9,
        ),
        Panel(
            "Refusals by limits",
            "Requests that were refused by a quota or a budget.",
            "reqps",
            (
                Query(
                    rate(
                        "chatvault_refusals_total",
                        by="code",
                        more='code=~"rate_limit_exceeded|budget_.*|model_unpriced"',
                    ),
                    "{{code}}",
                ),
            ),
        ),
        Panel(
            "Refusals by scope of the limit",
            "Requests that a limit refused, by what the limit is on.",
            "reqps",
            (Query(rate("chatvault_quota_refusals_total", by="scope"), "{{scope}}"),),
        ),
        Panel(
            "Would have been refused",
            "Requests that limits in observe mode would have refused, and did not.",
            "reqps",
            (Query(rate("chatvault_quota_would_refuse_total", by="scope"), "{{scope}}"),),
        ),
    ),
)

DASHBOARD = Dashboard(
    "money",
    "ChatVault / Money and budgets",
    "What requests cost, what clients are charged, and how near limits are.",
    (SPENDING, LIMITS),
)
