"""Pages of OAuth applications and of what they hold. The toolkit's own pages are taken away: they
show tokens and codes, and search by them."""

from django.contrib import admin

from apps.oauth.models import AccessToken, Application, Grant, IDToken, RefreshToken

admin.site.unregister([AccessToken, Application, Grant, IDToken, RefreshToken])

from . import applications, initial, issued  # noqa: E402 - what they register was registered

__all__ = ["applications", "initial", "issued"]
