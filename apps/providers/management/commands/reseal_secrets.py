from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from apps.configuration import revisions
from apps.configuration.models import Revision
from apps.providers import services
from apps.providers.errors import SecretProblem


class Command(BaseCommand):
    help = (
        "Seal every stored provider secret with the first key of CHATVAULT_VAULT_KEYS. "
        "Afterwards older keys can be taken out of the ring."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with transaction.atomic():
                count = services.reseal_secrets()
                revisions.record(
                    source=Revision.Source.API, actor=None, comment="Sealed secrets anew"
                )
        except SecretProblem as problem:
            raise CommandError(f"{problem} Nothing was changed.") from None
        self.stdout.write(f"Secrets sealed with the first key of the ring: {count}.")
