"""The endpoints of the authorization server, `/oauth/…`, and the documents that name them."""

from django.urls import path

from apps.oauth.views import allowed, authorize, device, metadata, registration, token

app_name = "oauth"

urlpatterns = [
    path("authorize", authorize.AuthorizeView.as_view(), name="authorize"),
    path("token", token.IssueView.as_view(), name="token"),
    path("revoke", token.RevokeView.as_view(), name="revoke"),
    path("introspect", token.IntrospectView.as_view(), name="introspect"),
    path("userinfo", token.WhoView.as_view(), name="userinfo"),
    path("device_authorization", device.DeviceCodesView.as_view(), name="device-authorization"),
    path("device", device.EnterCodeView.as_view(), name="device"),
    path("device/decide", device.DecideView.as_view(), name="device-decide"),
    path("register", registration.RegisterView.as_view(), name="register"),
    path("register/<str:client_id>", registration.RegistrationView.as_view(), name="registration"),
    path("allowed", allowed.AllowedView.as_view(), name="allowed"),
]

well_known = [
    path("oauth-authorization-server", metadata.authorization_server, name="oauth-server"),
    path("openid-configuration", metadata.openid_configuration, name="openid-configuration"),
    path("oauth-protected-resource", metadata.protected_resource, name="oauth-resource"),
    path("oauth-protected-resource/<path:path>", metadata.protected_resource),
    path("jwks.json", metadata.jwks, name="oauth-jwks"),
]
