"""A part of a page that follows a job: it asks for itself again until the job has ended, then the
whole page comes anew."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from apps.configuration.admin.job_runs import duration_text
from apps.configuration.models import JobRun

_UNDERWAY: Final = (JobRun.State.QUEUED, JobRun.State.RUNNING)


def context_of(run: JobRun | None, url: str) -> dict[str, Any]:
    """What `usage/job_progress.html` shows; `url` answers with `answer`."""
    return {
        "run": run,
        "progress_url": url,
        "is_underway": run is not None and run.state in _UNDERWAY,
        "percent": (run.percent or 0) if run else 0,
        "took": duration_text(run.took) if run else "",
    }


def answer(request: HttpRequest, run: JobRun | None, url: str) -> HttpResponse:
    context = context_of(run, url)
    response = TemplateResponse(request, "usage/job_progress.html", context)
    if not context["is_underway"]:
        response["HX-Refresh"] = "true"
    return response
