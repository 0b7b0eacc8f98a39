from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from django.apps import AppConfig
from django.conf import settings

if TYPE_CHECKING:
    from apps.billing.limits.contract import BudgetLimit, QuotaLimit


class BillingConfig(AppConfig):
    name = "apps.billing"
    label = "billing"
    verbose_name = "Billing"

    def ready(self) -> None:
        from apps.accounts import rotation
        from apps.billing import configuration, held, permissions, quota_uses
        from apps.billing.rotation import carry_over
        from apps.configuration import announce

        configuration.register()
        rotation.register(carry_over)
        permissions.register_own()
        if settings.CHATVAULT.redis.is_used:
            announce.register(_publish)
            held.register(_held)
            quota_uses.register(_used)


def _publish() -> None:
    from apps.billing import shared_limits  # its client is loaded where it is used

    shared_limits.publish_news()


def _held(budgets: Sequence[BudgetLimit]) -> Mapping[int, int]:
    from apps.billing import shared_limits

    return shared_limits.held_in_redis(budgets)


def _used(quotas: Sequence[QuotaLimit]) -> Mapping[int, int] | None:
    from apps.billing import shared_limits

    return shared_limits.used_in_redis(quotas)
