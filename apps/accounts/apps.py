from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    label = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        from apps.accounts import bearers, configuration, jwt_finder, keys, permissions

        configuration.register()
        bearers.register("key", keys.find_keys)
        jwt_finder.register()
        permissions.register_own()
