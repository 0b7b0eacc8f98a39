"""The management and reporting API, `/api/v1/…`: one line for each app that has a part in it."""

from django.urls import URLPattern, URLResolver, include, path

from apps.accounts.api import schema  # noqa: F401 – names the ways to authenticate

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("apps.accounts.api.urls")),
    path("", include("apps.alerts.api.urls")),
    path("", include("apps.billing.api.urls")),
    path("", include("apps.invoicing.api.urls")),
    path("", include("apps.oauth.api.urls")),
    path("", include("apps.repricing.api.urls")),
    path("", include("apps.forecasts.api.urls")),
    path("", include("apps.gateway.api_urls")),
    path("", include("apps.usage.api.urls")),
]
