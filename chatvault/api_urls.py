"""The management and reporting API, `/api/v1/…`: one line for each app that has a part in it."""

from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("apps.accounts.api.urls")),
]
