"""URLs that Django serves; the hot paths never get here (see asgi.py)."""

from collections.abc import Callable
from functools import wraps

from csp.decorators import csp_replace
from django.contrib import admin
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerView

from apps.oauth.urls import well_known as oauth_well_known
from apps.sign_in.views.account import ChangePassword
from apps.sign_in.views.entrance import SignIn, SignOut
from chatvault.defences import reports
from chatvault.lib import page_policy as policy

View = Callable[..., HttpResponseBase]


def reference(view: View) -> View:
    """A page of the API's description: it loads nothing from other hosts and posts nowhere."""

    @wraps(view)
    def held(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        response = csp_replace(policy.REFERENCE)(view)(request, *args, **kwargs)
        response["Cross-Origin-Opener-Policy"] = "same-origin"
        return response

    return held


admin.autodiscover()  # see admin_app.py

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/login/", SignIn.as_view()),
    path("admin/logout/", SignOut.as_view(), name="logout"),
    path("admin/password_change/", ChangePassword.as_view()),
    path("admin/", admin.site.urls),
    path("sign-in/", include("apps.sign_in.urls")),
    path("api/v1/", include("chatvault.api_urls")),
    path("oauth/", include("apps.oauth.urls")),
    path(".well-known/", include(oauth_well_known)),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path(
        "api/docs/", reference(SpectacularSwaggerView.as_view(url_name="schema")), name="swagger-ui"
    ),
    path("api/redoc/", reference(SpectacularRedocView.as_view(url_name="schema")), name="redoc"),
    path(policy.REPORT_PATH.lstrip("/"), reports.take, name="csp-report"),
    path("", include("apps.gateway.urls")),
]

handler500 = "chatvault.unavailable.server_error"
