"""Channels, alerts and their deliveries."""

from rest_framework.routers import SimpleRouter

from apps.alerts.api import alerts, budget_lines, channels

router = SimpleRouter(trailing_slash=False)
router.register("alert-channels", channels.ChannelViewSet, basename="alert-channel")
router.register("alert-deliveries", alerts.DeliveryViewSet, basename="alert-delivery")
router.register("alerts", alerts.AlertViewSet, basename="alert")
router.register("budget-lines", budget_lines.BudgetLinesViewSet, basename="budget-line")

urlpatterns = router.urls
