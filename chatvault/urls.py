"""URLs that Django serves; the hot paths never get here (see asgi.py)."""

from collections.abc import Callable
from functools import wraps

from django.contrib import admin
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerView

from apps.sign_in.views.account import ChangePassword
from apps.sign_in.views.entrance import SignIn

View = Callable[..., HttpResponseBase]


def offline(view: View) -> View:
    """The page loads nothing from other hosts: ReDoc's own asks for fonts and a logo."""

    @wraps(view)
    def held(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        response["Content-Security-Policy"] = (
            "default-src 'self'; img-src 'self' data:; font-src 'self' data:; "
            "style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; "
            "worker-src blob:"
        )
        return response

    return held


swagger = SpectacularSwaggerView.as_view(url_name="schema")
redoc = SpectacularRedocView.as_view(url_name="schema")

admin.autodiscover()  # see admin_app.py

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/login/", SignIn.as_view()),
    path("admin/password_change/", ChangePassword.as_view()),
    path("admin/", admin.site.urls),
    path("sign-in/", include("apps.sign_in.urls")),
    path("api/v1/", include("chatvault.api_urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path(
        "api/docs/", offline(SpectacularSwaggerView.as_view(url_name="schema")), name="swagger-ui"
    ),
    path("api/redoc/", offline(SpectacularRedocView.as_view(url_name="schema")), name="redoc"),
    path("", include("apps.gateway.urls")),
]

handler500 = "chatvault.unavailable.server_error"
