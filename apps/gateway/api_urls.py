"""What the gateway adds to the management API."""

from django.urls import path

from apps.gateway.estimates_api import CostEstimateView

urlpatterns = [path("cost/estimate", CostEstimateView.as_view(), name="cost-estimate")]
