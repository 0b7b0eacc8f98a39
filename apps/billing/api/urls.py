"""Quotas, their temporary ceilings, and what is used of them."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from apps.billing.api import quotas, rate_limits

router = SimpleRouter(trailing_slash=False)
router.register("quotas", quotas.QuotaViewSet, basename="quota")
router.register("quota-overrides", quotas.OverrideViewSet, basename="quota-override")

urlpatterns = [
    *router.urls,
    path("rate-limits", rate_limits.RateLimitsView.as_view(), name="rate-limits"),
    path("rate-limits/refusals", rate_limits.RefusalsView.as_view(), name="rate-limit-refusals"),
]
