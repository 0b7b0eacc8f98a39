from django.apps import AppConfig


class RepricingConfig(AppConfig):
    name = "apps.repricing"
    label = "repricing"
    verbose_name = "Repricing"

    def ready(self) -> None:
        from apps.repricing import permissions, proof
        from apps.usage import verify

        permissions.register_own()
        verify.register("repricings", proof.findings)
