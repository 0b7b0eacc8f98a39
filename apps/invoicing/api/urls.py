"""Providers' bills, exchange rates and statements."""

from rest_framework.routers import SimpleRouter

from apps.invoicing.api import bills, rates, statements

router = SimpleRouter(trailing_slash=False)
router.register("bills", bills.BillViewSet, basename="bill")
router.register("exchange-rates", rates.ExchangeRateViewSet, basename="exchange-rate")
router.register("statements", statements.StatementViewSet, basename="statement")

urlpatterns = router.urls
