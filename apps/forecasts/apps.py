from django.apps import AppConfig


class ForecastsConfig(AppConfig):
    name = "apps.forecasts"
    label = "forecasts"
    verbose_name = "Forecasts"

    def ready(self) -> None:
        from apps.billing import outlooks
        from apps.forecasts import columns, permissions

        permissions.register_own()
        outlooks.register(columns.outlooks_of)
