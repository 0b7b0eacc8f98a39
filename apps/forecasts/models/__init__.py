from apps.forecasts.models.budget import BudgetForecast
from apps.forecasts.models.what_if import WhatIf

__all__ = ["BudgetForecast", "WhatIf"]
