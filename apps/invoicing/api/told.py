"""Rows that are unique by what they say, and whose every change is told."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Model

from apps.accounts.api.rows import Changing, Rows
from chatvault.lib.errors import Conflict


class ToldRows(Changing, Rows):
    """Each change is an event of the audit trail, in one transaction with it."""

    topic = ""
    conflict = ""
    """What to answer where there is such a row already."""

    @abstractmethod
    def told(self, row: Model) -> dict[str, Any]:
        """What events say of a row."""

    def perform_create(self, serializer: Any) -> None:
        self.require("add", self.unsaved(serializer))
        self._save(serializer, "added")

    def perform_update(self, serializer: Any) -> None:
        self._save(serializer, "changed", before=self.told(serializer.instance))

    def perform_destroy(self, instance: Any) -> None:
        with transaction.atomic():
            self.tell(f"{self.topic}.deleted", instance, before=self.told(instance))
            instance.delete()

    def _save(self, serializer: Any, verb: str, **more: Any) -> None:
        try:
            with transaction.atomic():
                row = serializer.save()
                self.tell(f"{self.topic}.{verb}", row, after=self.told(row), **more)
        except IntegrityError:
            raise Conflict(self.conflict) from None
