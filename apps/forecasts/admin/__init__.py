"""The admin's pages of what is to come."""

from apps.forecasts.admin.forecasts import BudgetForecastAdmin

__all__ = ["BudgetForecastAdmin"]
