from apps.forecasts.models.budget import BudgetForecast

__all__ = ["BudgetForecast"]
