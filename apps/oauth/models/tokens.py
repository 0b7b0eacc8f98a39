"""What was issued. Of tokens and codes only digests are kept: nobody can use what is stored."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models, transaction
from oauth2_provider.models import (
    AbstractAccessToken,
    AbstractDeviceGrant,
    AbstractGrant,
    AbstractIDToken,
    AbstractRefreshToken,
)

from apps.configuration import announce
from chatvault.lib.writer import hold_writer

TOPIC = "accounts.key"


class Grant(AbstractGrant):
    """An authorization code, as its digest. It stays after its use, so that a second use is
    noticed and ends what came from the first one (RFC 6749 §4.1.2)."""

    family = models.UUIDField(default=uuid.uuid4, editable=False)
    used_at = models.DateTimeField(null=True, editable=False)

    class Meta(AbstractGrant.Meta):
        abstract = False


class AccessToken(AbstractAccessToken):
    """Calls ChatVault, or a service elsewhere that asks about it here."""

    is_for_gateway = models.BooleanField(
        default=True, editable=False, help_text="Whether ChatVault is its audience (RFC 8707)."
    )

    class Meta(AbstractAccessToken.Meta):
        abstract = False
        verbose_name = "OAuth access token"

    def is_valid(self, scopes: Any = None) -> bool:
        """Also that whoever it acts for is still there."""
        is_somebody = self.user is None or self.user.is_active
        return is_somebody and bool(super().is_valid(scopes))

    def allows_audience(self, audience_uri: str) -> bool:
        return self.is_for_gateway

    def revoke(self) -> None:
        """Refused by every process from now on."""
        with transaction.atomic():
            announce.after_commit(TOPIC, self.token_checksum)
            self.delete()


class RefreshToken(AbstractRefreshToken):
    """Is exchanged for the next pair, once. All that follow from one consent are a family."""

    class Meta(AbstractRefreshToken.Meta):
        abstract = False
        verbose_name = "OAuth grant"

    @classmethod
    def revoke_family(cls, token_family: uuid.UUID | None) -> None:
        if not token_family:
            return
        with transaction.atomic():
            hold_writer()
            of_family = AccessToken.objects.filter(refresh_token__token_family=token_family)
            for checksum in list(of_family.values_list("token_checksum", flat=True)):
                announce.after_commit(TOPIC, checksum)
            super().revoke_family(token_family)


class IDToken(AbstractIDToken):
    """Asked for by the toolkit's relations. ID tokens are signed and handed over, never kept."""

    class Meta(AbstractIDToken.Meta):
        abstract = False


class DeviceGrant(AbstractDeviceGrant):
    """A device that waits to be allowed (RFC 8628). Both of its codes are kept as digests."""

    USED = "used"
    STATUSES = (*AbstractDeviceGrant.DEVICE_FLOW_STATUS, (USED, "Used"))

    status = models.CharField(
        max_length=64,
        choices=STATUSES,
        default=AbstractDeviceGrant.AUTHORIZATION_PENDING,
        editable=False,
    )
    polled_at = models.DateTimeField(null=True, editable=False)

    class Meta(AbstractDeviceGrant.Meta):
        abstract = False
        indexes = [models.Index(fields=["user_code"], name="devicegrant_user_code")]

    def __str__(self) -> str:
        return f"Device #{self.pk}"
