"""What accounts adds to `/api/v1/`."""

from django.urls import path

from apps.accounts.api import tokens

urlpatterns = [
    path("auth/token", tokens.ObtainTokenView.as_view(), name="token-obtain"),
    path("auth/token/refresh", tokens.RefreshTokenView.as_view(), name="token-refresh"),
    path("auth/token/verify", tokens.VerifyTokenView.as_view(), name="token-verify"),
    path("auth/token/revoke", tokens.RevokeTokenView.as_view(), name="token-revoke"),
    path("auth/jwks.json", tokens.JwksView.as_view(), name="token-jwks"),
]
