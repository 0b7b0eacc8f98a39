from __future__ import annotations

from typing import Any, Self
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Count, Q
from oauth2_provider.models import AbstractApplication

from apps.oauth import scopes

_GRANTS = (
    (AbstractApplication.GRANT_AUTHORIZATION_CODE, "Authorization code: people sign in and allow"),
    (AbstractApplication.GRANT_DEVICE_CODE, "Device code: people allow on another device"),
    (AbstractApplication.GRANT_CLIENT_CREDENTIALS, "Client credentials: it acts for itself"),
)
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class ApplicationQuerySet(models.QuerySet["Application"]):
    def with_people_count(self) -> Self:
        """Annotates `people_count`: people for whom the application holds a refresh token."""
        live = Q(refreshtoken__revoked=None)
        return self.annotate(people_count=Count("refreshtoken__user", filter=live, distinct=True))


class Application(AbstractApplication):
    """An application that gets tokens here. Its calls are metered on the client that pays."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        related_name="oauth_applications",
        null=True,
        blank=True,
        editable=False,
        verbose_name="made by",
    )
    payer = models.ForeignKey(
        "accounts.Client",
        models.PROTECT,
        related_name="oauth_applications",
        verbose_name="client",
        help_text="Its team owns the application; its models, quotas and budgets apply to what "
        "the application's tokens call.",
    )
    authorization_grant_type = models.CharField(
        "flow",
        max_length=44,
        choices=_GRANTS,
        default=AbstractApplication.GRANT_AUTHORIZATION_CODE,
        help_text="How the application gets its tokens. The first two also give refresh tokens.",
    )
    description = models.CharField(max_length=255, blank=True)
    homepage = models.URLField(
        blank=True,
        help_text="Where people read about the application, such as https://app.example.com.",
    )
    scopes = models.JSONField(
        default=list,
        help_text="The most that its tokens may ever do. People give less where they may do less.",
    )
    is_active = models.BooleanField(
        "active", default=True, help_text="Tokens of an inactive application are refused."
    )
    initial_token = models.ForeignKey(
        "oauth.InitialAccessToken",
        models.SET_NULL,
        related_name="applications",
        null=True,
        blank=True,
        editable=False,
    )
    registration_digest = models.CharField(max_length=64, blank=True, editable=False)

    objects = ApplicationQuerySet.as_manager()

    class Meta(AbstractApplication.Meta):
        ordering = ["name", "pk"]
        verbose_name = "OAuth application"

    def __str__(self) -> str:
        return self.name or f"application {self.pk}"

    @property
    def team_id(self) -> int:
        return int(self.payer.team_id)

    @property
    def has_registered_itself(self) -> bool:
        return bool(self.registration_source == self.RegistrationSource.DCR)

    def is_usable(self, request: Any) -> bool:
        """Asked by the toolkit before anything is issued."""
        return bool(self.is_active and self.payer.is_active and self.payer.team.is_active)

    def get_allowed_schemes(self) -> list[str]:
        """`http` for loopback addresses alone: `clean` and `redirect_uri_allowed` see to it."""
        return ["https", "http"]

    def redirect_uri_allowed(self, uri: str) -> bool:
        """The very address that is registered; only the port of a loopback IP may differ
        (RFC 9700 §4.1.3, RFC 8252 §7.3)."""
        return is_safe(uri) and bool(super().redirect_uri_allowed(uri))

    def clean(self) -> None:
        errors: dict[str, list[Any]] = {}
        try:
            super().clean()
        except ValidationError as refused:
            errors = dict(refused.error_dict)
        unsafe = [uri for uri in self.redirect_uris.split() if not is_safe(uri)]
        if unsafe and "redirect_uris" not in errors:
            errors["redirect_uris"] = [
                f"{unsafe[0]} is not safe: use https, or http for 127.0.0.1, [::1] or localhost."
            ]
        is_for_itself = self.authorization_grant_type == self.GRANT_CLIENT_CREDENTIALS
        if is_for_itself and self.client_type == self.CLIENT_PUBLIC:
            errors["client_type"] = ["Only a confidential application can act for itself."]
        unknown = sorted(set(self.scopes) - scopes.OFFERED)
        if unknown:
            errors["scopes"] = [f"There is no scope {', '.join(unknown)}."]
        elif not self.scopes:
            errors["scopes"] = ["Choose what the application may do."]
        if errors:
            raise ValidationError(errors)


def is_safe(uri: str) -> bool:
    """Whether what is sent there cannot be read on its way (RFC 9700 §2.6)."""
    try:
        parts = urlsplit(uri)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return False
    if not uri.isascii() or not uri.isprintable() or "\\" in uri or "@" in parts.netloc:
        return False
    if parts.scheme == "https":
        return bool(host)
    return parts.scheme == "http" and host in LOOPBACK
