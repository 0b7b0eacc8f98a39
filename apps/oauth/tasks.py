from __future__ import annotations

from datetime import timedelta
from typing import Final

from oauth2_provider.models import clear_expired

from apps.configuration import jobs
from apps.oauth.models import DeviceGrant
from chatvault.lib import clock

_KEPT: Final = timedelta(days=1)


@jobs.task("forget-oauth", unit="kinds")
def forget_oauth(job: jobs.Job) -> None:
    """Remove codes and tokens that have ended; running it twice changes nothing."""
    clear_expired()
    job.progress(1, 2)
    DeviceGrant.objects.filter(expires__lt=clock.now() - _KEPT).delete()
    job.progress(2, 2)
