from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "apps.alerts"
    label = "alerts"
    verbose_name = "Alerts"

    def ready(self) -> None:
        from apps.accounts.permissions import Rows, register
        from apps.accounts.roles import Capability as C
        from apps.alerts import budgets, figures, resealing, topics, troubles, watching
        from apps.billing.permissions import SCOPES, WITHIN_TEAM
        from apps.providers import services as vaults
        from apps.usage import control_figures

        topics.register_own()
        watching.register("budgets", budgets.look)
        watching.register("prices", troubles.unpriced)
        watching.register("credentials", troubles.credentials)
        watching.register("checks", troubles.checks)
        control_figures.register(figures.read)
        vaults.also_reseal(resealing.reseal_channels)
        register(
            "alerts.channel", Rows(view=C.ALERTS_READ, change=C.ALERTS_WRITE, teams=("team_id",))
        )
        register(
            "alerts.budgetlines",
            Rows(
                view=C.BILLING_READ,
                change=C.BILLING_WRITE,
                teams=tuple(f"budget__{path}" for path in SCOPES),
                changed_by=tuple(f"budget__{path}" for path in WITHIN_TEAM),
            ),
        )
        register("alerts.alert", Rows(view=C.ALERTS_READ, teams=("team_id",)))
        register(
            "alerts.delivery",
            Rows(view=C.ALERTS_READ, change=C.ALERTS_WRITE, teams=("channel__team_id",)),
        )
