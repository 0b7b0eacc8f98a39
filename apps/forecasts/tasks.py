from __future__ import annotations

from apps.configuration import jobs
from apps.forecasts import asking, services
from apps.forecasts.models import WhatIf


@jobs.task("forecast-budgets", unit="budgets")
def forecast_budgets(job: jobs.Job) -> None:
    """A forecast of every active budget; twice on a day makes it anew."""
    services.forecast_all(job.progress)


@jobs.task("forecast-budget", unit="budgets")
def forecast_budget(job: jobs.Job, budget_id: int) -> None:
    """The forecast of one budget, because somebody asked. One that is gone has none."""
    job.progress(0, 1)
    budget = services.active().filter(pk=budget_id).first()
    if budget is not None:
        services.forecast(budget)
    job.progress(1, 1)


@jobs.task("what-if", unit="requests")
def answer_what_if(job: jobs.Job, what_if_id: int) -> None:
    """Price a client's requests as if something had been otherwise; twice gives the same."""
    asked = WhatIf.objects.select_related("client__tier", "alias", "tier").filter(pk=what_if_id)
    row = asked.first()
    if row is None:
        return
    try:
        asking.answer(row, job.progress)
    except BaseException:
        WhatIf.objects.filter(pk=what_if_id).update(state=WhatIf.State.FAILED)
        raise
