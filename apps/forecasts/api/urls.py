"""What is to come: forecasts of budgets; and what would have been."""

from django.urls import path

from apps.forecasts.api.forecasts import BudgetForecastView
from apps.forecasts.api.what_if import WhatIfDetailView, WhatIfView

urlpatterns = [
    path("budgets/<int:budget_id>/forecast", BudgetForecastView.as_view(), name="budget-forecast"),
    path("what-if", WhatIfView.as_view(), name="what-if"),
    path("what-if/<int:what_if_id>", WhatIfDetailView.as_view(), name="what-if-answer"),
]
