from __future__ import annotations

import logging
from datetime import timedelta

from django.conf import settings

from apps.accounts import outside_issuers
from apps.accounts.models import TrustedIssuer
from apps.configuration import jobs
from chatvault.lib import clock
from chatvault.lib.guarded_fetch import FetchFailed

logger = logging.getLogger(__name__)


@jobs.task("fetch-issuer-keys", unit="issuers")
def fetch_issuer_keys(job: jobs.Job) -> None:
    """Keys that an outside issuer has withdrawn are refused after this at the latest."""
    oldest = clock.now() - timedelta(seconds=settings.CHATVAULT.tokens.jwks_refresh_s)
    due = list(TrustedIssuer.objects.filter(is_active=True).exclude(fetched_at__gt=oldest))
    job.progress(0, len(due))
    for number, issuer in enumerate(due, start=1):
        try:
            outside_issuers.fetch_keys(issuer)
        except FetchFailed as problem:
            logger.warning("keys of issuer %s cannot be fetched: %s", issuer.name, problem)
        job.progress(number)
