from django.apps import AppConfig


class OAuthConfig(AppConfig):
    name = "apps.oauth"
    label = "oauth"
    verbose_name = "OAuth applications"

    def ready(self) -> None:
        from apps.oauth import wiring

        wiring.register()
