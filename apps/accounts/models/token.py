from __future__ import annotations

from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.accounts.tokens import ALGORITHMS

_ALGORITHMS = [(name, name) for name in ALGORITHMS]


class SigningKeyQuerySet(models.QuerySet["SigningKey"]):
    def verifying(self, at: datetime) -> Self:
        """Keys whose tokens are believed at `at`."""
        return self.filter(Q(ends_at=None) | Q(ends_at__gt=at))

    def signing(self) -> Self:
        """The key that signs new tokens comes first."""
        return self.filter(retired_at=None).order_by("-created_at", "-pk")


class SigningKey(models.Model):
    """A key pair that signs JWTs. The private half is sealed with the vault's keys."""

    kid = models.CharField("key id", max_length=64, unique=True, editable=False)
    algorithm = models.CharField(max_length=8, choices=_ALGORITHMS, editable=False)
    public_jwk = models.JSONField(editable=False, help_text="What the JWKS endpoint shows.")
    sealed = models.TextField(editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="From then on it signs nothing new."
    )
    ends_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="From then on its tokens are refused."
    )

    objects = SigningKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at=None) | ~Q(retired_at=None), name="signingkey_retires_first"
            ),
        ]

    def __str__(self) -> str:
        return self.kid


class TokenSessionQuerySet(models.QuerySet["TokenSession"]):
    def live(self, at: datetime) -> Self:
        return self.filter(revoked_at=None, expires_at__gt=at)


class TokenSession(models.Model):
    """One sign-in for JWTs: an access token and a chain of refresh tokens, each used once."""

    sid = models.CharField("session id", max_length=32, unique=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="token_sessions"
    )
    client = models.ForeignKey(
        "accounts.Client",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="token_sessions",
        help_text="Who pays for calls to models. Empty: the tokens call no models.",
    )
    name = models.CharField(max_length=100, blank=True, help_text="What it is used for.")
    scopes = models.JSONField(default=list, help_text="Empty: all that the person may do.")
    refresh_jti = models.CharField(max_length=32, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    refreshed_at = models.DateTimeField(null=True, editable=False)
    expires_at = models.DateTimeField(help_text="When the last refresh token ends.")
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    ended_because = models.CharField(max_length=32, blank=True, editable=False)
    address = models.GenericIPAddressField(null=True, editable=False)

    objects = TokenSessionQuerySet.as_manager()

    class Meta:
        verbose_name = "JWT session"
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["user", "-created_at"], name="tokensession_by_user")]

    def __str__(self) -> str:
        return f"{self.user}: {self.name or self.sid[:8]}"


class TrustedIssuer(models.Model):
    """An outside issuer whose JWTs are believed, such as a company's identity provider."""

    name = models.CharField(max_length=100, unique=True)
    issuer = models.CharField(
        max_length=500,
        unique=True,
        help_text="The `iss` of its tokens, letter by letter, such as https://id.example.com. "
        "Its keys are found at /.well-known/openid-configuration below it.",
    )
    audiences = models.JSONField(
        default=list, help_text="The `aud` values that are meant for ChatVault; one must match."
    )
    jwks_url = models.CharField(
        "JWKS address",
        max_length=500,
        blank=True,
        help_text="Where its keys are. Empty: found by OIDC discovery.",
    )
    jwks = models.JSONField(default=dict, editable=False)
    fetched_at = models.DateTimeField(null=True, editable=False)
    fetch_problem = models.CharField(max_length=300, blank=True, editable=False)
    max_lifetime_s = models.PositiveIntegerField(
        "longest lifetime",
        default=86_400,
        help_text="In seconds. Tokens that are made to live longer are refused.",
    )
    is_active = models.BooleanField("active", default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class IssuerRule(models.Model):
    """Which client a token of an outside issuer acts for. The first rule that fits decides."""

    issuer = models.ForeignKey(TrustedIssuer, models.CASCADE, related_name="rules")
    position = models.PositiveSmallIntegerField(default=0, help_text="Lower ones are tried first.")
    claim = models.CharField(
        max_length=100,
        help_text="A claim, or names with dots, such as `groups` or `realm_access.roles`.",
    )
    value = models.CharField(
        max_length=200,
        help_text="What the claim is, or what its list contains. `*`: any value.",
    )
    client = models.ForeignKey("accounts.Client", models.CASCADE, related_name="+")
    scopes = models.JSONField(
        default=list, help_text='What the token may do, such as ["inference"].'
    )

    class Meta:
        ordering = ["position", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["issuer", "claim", "value"], name="issuerrule_claim_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.claim} = {self.value}: {self.client}"
