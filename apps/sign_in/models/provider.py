from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core.validators import validate_slug
from django.db import models
from django.db.models import Q

from apps.accounts.roles import Role

ROLES: Final = [(role.value, role.value.replace("_", " ")) for role in Role]


class IdentityProvider(models.Model):
    """Somebody else who says who people are: Google, Microsoft, GitHub, or any OpenID provider."""

    class Kind(models.TextChoices):
        OIDC = "oidc", "OpenID Connect"
        GOOGLE = "google", "Google"
        MICROSOFT = "microsoft", "Microsoft Entra ID"
        GITHUB = "github", "GitHub"

    class FirstLogin(models.TextChoices):
        INVITED = "invited", "Only who was invited"
        TEAM = "team", "Everybody whom it lets in, into the team below"

    name = models.CharField(
        max_length=60, unique=True, help_text="As the button calls it: Sign in with …"
    )
    slug = models.CharField(
        "name in URLs",
        max_length=40,
        unique=True,
        validators=[validate_slug],
        help_text="Letters, digits and hyphens, such as google. It is part of the callback URL.",
    )
    kind = models.CharField(
        max_length=16,
        choices=Kind,
        default=Kind.OIDC,
        help_text="OpenID Connect fits Keycloak, Okta, Auth0, GitLab, Authentik and most others.",
    )
    server_url = models.CharField(
        "server URL",
        max_length=500,
        blank=True,
        help_text="The issuer, such as https://id.example.org/realms/main; for Microsoft "
        "https://login.microsoftonline.com/TENANT-ID/v2.0; for Google and GitHub empty, or your "
        "GitHub Enterprise server. A new host or port removes the stored secret.",
    )
    client_id = models.CharField(
        "client ID",
        max_length=255,
        db_column="oauth_client_id",  # client_id is the column of rows that belong to a client
        help_text="What the provider calls this installation.",
    )
    secret = models.TextField("client secret", blank=True, editable=False)
    secret_origin = models.CharField(max_length=300, blank=True, editable=False)
    scopes = models.CharField(
        max_length=300,
        blank=True,
        help_text="Separated by blanks. Empty: openid email profile; for GitHub read:user "
        "user:email read:org.",
    )
    allowed_domains = models.CharField(
        max_length=500,
        blank=True,
        help_text="E-mail domains that are let in, such as example.org, separated by commas; "
        "the provider must say that the address is verified. Empty: all.",
    )
    vouches_for_addresses = models.BooleanField(
        default=False,
        help_text="Take its addresses for verified although it does not say so. Only for a "
        "directory of your own, in which nobody chooses the address: some Microsoft tenants.",
    )
    links_by_email = models.BooleanField(
        "links to existing accounts",
        default=False,
        help_text="Who comes with the verified address of an existing account is that account. "
        "Whoever runs the provider can then become anybody here: leave it off unless that is you.",
    )
    first_login = models.CharField(
        "who may come for the first time",
        max_length=16,
        choices=FirstLogin,
        default=FirstLogin.INVITED,
        help_text="Later they come as the account that they have here.",
    )
    default_team = models.ForeignKey(
        "accounts.Team",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The team of who comes for the first time.",
    )
    default_role = models.CharField(
        max_length=16,
        choices=ROLES,
        blank=True,
        help_text="What they are in that team, such as member. Rules below may say otherwise.",
    )
    is_active = models.BooleanField(
        "active", default=True, help_text="Off: there is no button, and it signs nobody in."
    )
    discovered = models.JSONField(default=dict, blank=True, editable=False)
    discovered_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(first_login="team")
                | (Q(default_team__isnull=False) & ~Q(default_role="")),
                name="identity_provider_has_team",
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def domains(self) -> frozenset[str]:
        parts = self.allowed_domains.replace(" ", ",").split(",")
        return frozenset(part.strip().lstrip("@").lower() for part in parts if part.strip())


class RoleRule(models.Model):
    """Who comes with this claim has this role, as long as the claim comes at each sign-in."""

    class Operator(models.TextChoices):
        EQUALS = "equals", "is"
        CONTAINS = "contains", "contains"

    provider = models.ForeignKey(IdentityProvider, models.CASCADE, related_name="rules")
    position = models.PositiveIntegerField(
        default=0, help_text="The first rule that fits decides the role in a team."
    )
    claim = models.CharField(
        max_length=200, help_text="Such as groups, or realm_access.roles; GitHub: organizations."
    )
    operator = models.CharField(
        max_length=16,
        choices=Operator,
        default=Operator.CONTAINS,
        help_text="contains: a list that has the value in it.",
    )
    value = models.CharField(max_length=200, help_text="Exactly as the provider sends it.")
    role = models.CharField(
        max_length=16, choices=ROLES, help_text="Nobody writes a rule for more than they have."
    )
    team = models.ForeignKey(
        "accounts.Team",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text="Empty: in the whole installation.",
    )

    class Meta:
        ordering = ["provider", "position", "id"]
        verbose_name = "rule for roles"
        verbose_name_plural = "rules for roles"

    def __str__(self) -> str:
        where = self.team.name if self.team else "everywhere"
        return f"{self.claim} {self.get_operator_display()} {self.value}: {self.role} {where}"

    def fits(self, claims: dict[str, Any]) -> bool:
        found: Any = claims.get(self.claim)
        if found is None:
            found = claims
            for name in self.claim.split("."):
                found = found.get(name) if isinstance(found, dict) else None
        if self.operator == self.Operator.CONTAINS:
            return isinstance(found, list) and self.value in [x for x in found if _is_plain(x)]
        return _is_plain(found) and str(found) == self.value


def _is_plain(value: Any) -> bool:
    return isinstance(value, str)


class MappedRole(models.Model):
    """A role that rules gave, and rules take again; those given by hand have no such row."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="mapped_roles")
    provider = models.ForeignKey(IdentityProvider, models.CASCADE, related_name="mapped_roles")
    team = models.ForeignKey(
        "accounts.Team", models.CASCADE, null=True, blank=True, related_name="+"
    )
    role = models.CharField(max_length=16, choices=ROLES)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "team"], condition=Q(team__isnull=False), name="mapped_role_of_team"
            ),
            models.UniqueConstraint(
                fields=["user", "role"], condition=Q(team__isnull=True), name="mapped_role_unique"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.role}"


class OutsideIdentity(models.Model):
    """Who somebody at a provider is here. The subject never changes; an address may."""

    provider = models.ForeignKey(IdentityProvider, models.CASCADE, related_name="identities")
    subject = models.CharField(max_length=255)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="identities")
    email = models.CharField(max_length=254, blank=True, help_text="As it was at the last time.")
    created_at = models.DateTimeField(auto_now_add=True)
    used_at = models.DateTimeField("last used", null=True, blank=True)

    class Meta:
        verbose_name = "identity at a provider"
        verbose_name_plural = "identities at providers"
        ordering = ["provider", "user"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "subject"], name="outside_identity_unique")
        ]

    def __str__(self) -> str:
        return f"{self.email or self.subject} at {self.provider}"
