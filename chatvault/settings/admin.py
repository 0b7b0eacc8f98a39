"""Looks of the admin: unfold's theme, its colours and the pages of the sidebar by topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.http import HttpRequest


def _page(title: str, icon: str, model: str) -> dict[str, Any]:
    """The list page of `app.model`, for those who may view it."""
    app, _, name = model.partition(".")
    link = _to(f"admin:{app}_{name}_changelist")
    return {
        "title": title,
        "icon": icon,
        "link": link,
        "permission": lambda request: bool(
            link(request) and request.user.has_perm(f"{app}.view_{name}")
        ),
        "active": lambda request: (
            bool(link(request))
            and request.path.startswith(link(request))
            and not _is_at("admin:usage_refusals", request)
            and not _is_at("admin:usage_rate_limits", request)
            and not _is_at("admin:usage_spending", request)
        ),
    }


def _group(title: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "separator": True, "items": list(items)}


def _to(name: str) -> Callable[[HttpRequest], str]:
    def link(request: HttpRequest) -> str:
        from django.urls import NoReverseMatch, reverse

        try:
            return reverse(name)
        except NoReverseMatch:  # the page's app is not installed
            return ""

    return link


def _file(path: str) -> Callable[[HttpRequest], str]:
    def link(request: HttpRequest) -> str:
        from django.templatetags.static import static

        return static(path)

    return link


def _is_at(name: str, request: HttpRequest) -> bool:
    return request.path == _to(name)(request)


def _is_home(request: HttpRequest) -> bool:
    return _is_at("admin:index", request)


NAVIGATION: list[dict[str, Any]] = [
    {
        "items": [
            {
                "title": "Overview",
                "icon": "monitoring",
                "link": _to("admin:index"),
                "active": _is_home,
            },
            {
                "title": "Spending",
                "icon": "query_stats",
                "link": _to("admin:usage_spending"),
                "permission": lambda request: request.user.has_perm("usage.view_requestlog"),
                "active": lambda request: _is_at("admin:usage_spending", request),
            },
        ]
    },
    _group(
        "Traffic",
        _page("Requests", "receipt_long", "usage.requestlog"),
        {
            "title": "Refusals",
            "icon": "block",
            "link": _to("admin:usage_refusals"),
            "permission": lambda request: request.user.has_perm("usage.view_requestlog"),
            "active": lambda request: _is_at("admin:usage_refusals", request),
        },
        _page("Exports", "download", "usage.usageexport"),
        _page("Errors", "error", "usage.errorgroup"),
        _page("Ledger", "account_balance", "billing.ledgerentry"),
        _page("Self-audit", "fact_check", "usage.ledgercheck"),
        _page("Journal", "database", "usage.journalcursor"),
        _page("Gateway nodes", "dns", "billing.gatewaynode"),
    ),
    _group(
        "Models",
        _page("Aliases", "alt_route", "providers.alias"),
        _page("Deployments", "deployed_code", "providers.deployment"),
        _page("Providers", "cloud", "providers.provider"),
        _page("Credentials", "key_vertical", "providers.credential"),
        _page("Probes", "ecg_heart", "providers.probe"),
    ),
    _group(
        "Clients",
        _page("Teams", "groups", "accounts.team"),
        _page("Clients", "apps", "accounts.client"),
        _page("API keys", "vpn_key", "accounts.apikey"),
        _page("OAuth applications", "extension", "oauth.application"),
        _page("OAuth grants", "handshake", "oauth.refreshtoken"),
        _page("OAuth access tokens", "token", "oauth.accesstoken"),
        _page("Initial access tokens", "app_registration", "oauth.initialaccesstoken"),
        {
            "title": "Applications I allowed",
            "icon": "verified_user",
            "link": _to("oauth:allowed"),
            "active": False,
        },
    ),
    _group(
        "Money and limits",
        _page("Budgets", "savings", "billing.budget"),
        _page("Raises", "price_check", "billing.budgetraise"),
        _page("Forecasts", "trending_up", "forecasts.budgetforecast"),
        _page("What-if", "alt_route", "forecasts.whatif"),
        {
            "title": "Rate limits",
            "icon": "vital_signs",
            "link": _to("admin:usage_rate_limits"),
            "permission": lambda request: request.user.has_perm("billing.view_quota"),
            "active": lambda request: _is_at("admin:usage_rate_limits", request),
        },
        _page("Quotas", "speed", "billing.quota"),
        _page("Price books", "menu_book", "billing.pricebook"),
        _page("Prices", "sell", "billing.price"),
        _page("Pricing tiers", "percent", "billing.pricingtier"),
        _page("Catalogue", "difference", "billing.cataloguechange"),
        _page("Statements", "receipt_long", "invoicing.statement"),
        _page("Bills", "request_quote", "invoicing.bill"),
        _page("Match rules", "join_inner", "invoicing.matchrule"),
        _page("Exchange rates", "currency_exchange", "invoicing.exchangerate"),
        _page("Monthly close", "lock_clock", "invoicing.monthclose"),
        _page("Repricing", "currency_exchange", "repricing.repricing"),
    ),
    _group(
        "Alerts",
        _page("Alerts", "notifications", "alerts.alert"),
        _page("Channels", "campaign", "alerts.channel"),
        _page("Deliveries", "outgoing_mail", "alerts.delivery"),
    ),
    _group(
        "Sign-in",
        _page("Invitations", "mail", "sign_in.invitation"),
        _page("Identity providers", "passkey", "sign_in.identityprovider"),
        _page("Identities", "badge", "sign_in.outsideidentity"),
        _page("Second factors", "phonelink_lock", "mfa.authenticator"),
        _page("Sessions", "devices", "sign_in.personsession"),
        _page("Lockouts", "lock_clock", "sign_in.failedsignins"),
    ),
    _group(
        "Administration",
        _page("People", "person", "accounts.user"),
        _page("JWT sessions", "token", "accounts.tokensession"),
        _page("Trusted issuers", "verified_user", "accounts.trustedissuer"),
        _page("Signing keys", "signature", "accounts.signingkey"),
        _page("Audit trail", "policy", "audit.auditevent"),
        _page("Revisions", "history", "configuration.revision"),
        _page("Timetable", "schedule", "configuration.scheduledjob"),
        _page("Job runs", "checklist", "configuration.jobrun"),
        {"title": "API reference", "icon": "api", "link": _to("swagger-ui"), "active": False},
    ),
]

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "ChatVault",
    "SITE_HEADER": "ChatVault",
    "SITE_SUBHEADER": "LLM gateway",
    "SITE_URL": "/admin/",
    "SITE_SYMBOL": "vpn_key",
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": _file("chatvault/favicon.svg"),
        }
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": [
        _file("chatvault/theme.css"),
        _file("chatvault/widths.css"),
        _file("chatvault/admin.css"),
    ],
    "SCRIPTS": [_file("chatvault/expressions.js"), _file("chatvault/page.js")],
    "BORDER_RADIUS": "6px",
    "COLORS": {
        "primary": {
            "50": "oklch(97.7% .013 236.6)",
            "100": "oklch(95.1% .026 236.8)",
            "200": "oklch(90.1% .058 230.9)",
            "300": "oklch(82.8% .111 230.3)",
            "400": "oklch(74.6% .160 232.7)",
            "500": "oklch(66.0% .150 240)",
            "600": "oklch(54.5% .145 246)",
            "700": "oklch(47.5% .130 248)",
            "800": "oklch(41.5% .110 249)",
            "900": "oklch(37.0% .090 250)",
            "950": "oklch(28.0% .070 252)",
        }
    },
    "ACCOUNT": {
        "navigation": [
            {"title": "Your account", "link": _to("sign_in_account")},
        ]
    },
    "DASHBOARD_CALLBACK": "apps.usage.dashboard.with_overview",
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "show_all_applications": False,
        "navigation": NAVIGATION,
    },
}
