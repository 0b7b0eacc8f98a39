"""What is to come: forecasts of budgets."""

from django.urls import path

from apps.forecasts.api.forecasts import BudgetForecastView

urlpatterns = [
    path("budgets/<int:budget_id>/forecast", BudgetForecastView.as_view(), name="budget-forecast"),
]
