"""The admin's pages of what is to come."""

from apps.forecasts.admin.forecasts import BudgetForecastAdmin
from apps.forecasts.admin.what_if import WhatIfAdmin

__all__ = ["BudgetForecastAdmin", "WhatIfAdmin"]
