"""Budgets and their raises; quotas, their temporary ceilings, and what is used of them."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from apps.billing.api import budget_raises, budgets, quotas, rate_limits

router = SimpleRouter(trailing_slash=False)
router.register("budgets", budgets.BudgetViewSet, basename="budget")
router.register(
    r"budgets/(?P<budget_id>[0-9]+)/raises",
    budget_raises.BudgetRaiseViewSet,
    basename="budget-raise",
)
router.register("quotas", quotas.QuotaViewSet, basename="quota")
router.register("quota-overrides", quotas.OverrideViewSet, basename="quota-override")

urlpatterns = [
    *router.urls,
    path("rate-limits", rate_limits.RateLimitsView.as_view(), name="rate-limits"),
    path("rate-limits/refusals", rate_limits.RefusalsView.as_view(), name="rate-limit-refusals"),
]
