"""Ranges of requests priced again."""

from rest_framework.routers import SimpleRouter

from apps.repricing.api import repricings

router = SimpleRouter(trailing_slash=False)
router.register("repricings", repricings.RepricingViewSet, basename="repricing")

urlpatterns = router.urls
