"""What else is told without anybody asking: requests without a price, refused credentials, books
that do not balance."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db.models import Count, F, Q
from django.urls import reverse
from django.utils.http import urlencode

from apps.alerts import services
from apps.configuration.models import JobRun
from apps.providers.models import Deployment
from apps.usage import credential_trouble
from apps.usage.models import RequestLog

A_DAY: Final = timedelta(days=1)
_LATELY: Final = timedelta(minutes=10)
_USED: Final = Q(input_tokens__gt=0) | Q(output_tokens__gt=0)
CHECKS: Final = {
    "verify-ledger": "The check of the ledger",
    "verify-audit": "The check of the audit trail",
    "verify-new-audit": "The check of new audit events",
}


def unpriced(now: datetime) -> None:
    """Models that were used and have no price: told once a day each."""
    rows = RequestLog.objects.filter(
        _USED, started_at__gte=now - _LATELY, price_id=None, deployment_id__isnull=False
    )
    found = rows.order_by().values(pk_of=F("deployment_id")).annotate(requests=Count("pk"))
    counts = {row["pk_of"]: row["requests"] for row in found}
    for deployment in Deployment.objects.filter(pk__in=counts).order_by("pk"):
        count = counts[deployment.pk]
        services.tell(
            "price.unpriced",
            key=f"unpriced:{deployment.pk}",
            title=f"{deployment.name} is used without a price",
            text=f"No price book has a price for {deployment.model}. Requests of the last ten "
            f"minutes that were not charged: {count}. Add a price; earlier requests can then be "
            "priced again.",
            team_id=None,
            facts={"deployment": deployment.name, "model": deployment.model, "requests": count},
            until=now + A_DAY,
            link=f"{reverse('admin:billing_price_add')}?{urlencode({'model': deployment.model})}",
        )


def credentials(now: datetime) -> None:
    """Deployments whose credential a provider refuses: told once a trouble."""
    for trouble in credential_trouble.troubles():
        services.tell(
            "provider.credential",
            key=f"credential:{trouble.deployment_id}:{trouble.since:%Y-%m-%dT%H:%M:%SZ}",
            title=f"A provider refuses the credential of {trouble.name}",
            text=f"{trouble.text}. Look whether the key was revoked or is out of credit.",
            team_id=None,
            facts={"deployment": trouble.name, "refused_calls": trouble.count},
            link=trouble.link,
        )


def checks(now: datetime) -> None:
    """Regular proofs whose last run failed: told once a day each."""
    runs = JobRun.objects.filter(
        name__in=CHECKS, state__in=(JobRun.State.DONE, JobRun.State.FAILED)
    )
    for run in runs.latest_of_each().filter(state=JobRun.State.FAILED):
        services.tell(
            "ledger.audit",
            key=run.name,
            title=f"{CHECKS[run.name]} failed",
            text=run.error_message or run.error_class,
            team_id=None,
            facts={"job": run.name, "run": run.pk},
            until=now + A_DAY,
            link=reverse("admin:configuration_jobrun_change", args=[run.pk]),
        )
