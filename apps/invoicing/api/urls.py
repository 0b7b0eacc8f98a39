"""Providers' bills, match rules, exchange rates, statements and the monthly close."""

from rest_framework.routers import SimpleRouter

from apps.invoicing.api import bills, closing, match_rules, rates, statements

router = SimpleRouter(trailing_slash=False)
router.register("bills", bills.BillViewSet, basename="bill")
router.register("closed-periods", closing.ClosedPeriodViewSet, basename="closed-period")
router.register("exchange-rates", rates.ExchangeRateViewSet, basename="exchange-rate")
router.register("match-rules", match_rules.MatchRuleViewSet, basename="match-rule")
router.register("statements", statements.StatementViewSet, basename="statement")

urlpatterns = router.urls
