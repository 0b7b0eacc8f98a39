from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models


class PersonSession(AbstractBaseSession):
    """One browser of one person, or of somebody who has not signed in yet.

    The cookie's value is not here, only its digest: who reads this table can take over nothing.
    What the session holds is sealed.
    """

    session_key = models.CharField(
        "digest", max_length=64, primary_key=True, help_text="SHA-256 of the cookie."
    )
    session_data = models.TextField("sealed data", editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="sessions"
    )
    started_at = models.DateTimeField("since", help_text="When it was signed in.")
    seen_at = models.DateTimeField("last seen", db_index=True, help_text="To a minute.")
    address = models.GenericIPAddressField(null=True, blank=True)
    browser = models.CharField("device", max_length=200, blank=True)
    way = models.CharField(
        "signed in with", max_length=100, blank=True, help_text="password, or the provider's name."
    )

    class Meta:
        verbose_name = "session"
        verbose_name_plural = "sessions"
        ordering = ["-seen_at"]
        indexes = [models.Index(fields=["user", "seen_at"], name="session_of_user")]

    def __str__(self) -> str:
        return f"{self.browser or 'unknown device'}, {self.address or 'unknown address'}"

    @classmethod
    def get_session_store_class(cls) -> Any:
        from apps.sign_in.sessions import SessionStore

        return SessionStore
