"""Applications by the REST API."""

from rest_framework.routers import SimpleRouter

from apps.oauth.api.applications import ApplicationViewSet

router = SimpleRouter(trailing_slash=False)
router.register("oauth/applications", ApplicationViewSet, basename="oauth-application")

urlpatterns = router.urls
