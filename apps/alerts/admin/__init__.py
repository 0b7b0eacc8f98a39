"""Pages of channels, alerts and deliveries; lines of budgets on the page of each."""

from apps.accounts.admin.pages import falls_with
from apps.accounts.models import Team
from apps.alerts.models import Channel, Delivery

from . import alerts, budget_lines, channels, deliveries

__all__ = ["alerts", "budget_lines", "channels", "deliveries"]

falls_with(Team, Channel, Delivery)
