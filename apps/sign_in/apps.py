from django.apps import AppConfig


class SignInConfig(AppConfig):
    name = "apps.sign_in"
    label = "sign_in"
    verbose_name = "Sign-in"

    def ready(self) -> None:
        from apps.accounts import people, permissions
        from apps.accounts import second_factor as asked_for_tokens
        from apps.accounts.roles import Capability
        from apps.sign_in import second_factor, services

        rows = permissions.Rows(view=Capability.SIGN_IN_READ, change=Capability.SIGN_IN_WRITE)
        for name in (
            "personsession", "failedsignins", "identityprovider", "rolerule", "outsideidentity",
            "mappedrole",
        ):  # fmt: skip
            permissions.register(f"sign_in.{name}", rows)
        permissions.register("mfa.authenticator", rows)
        permissions.register(
            "sign_in.invitation",
            permissions.Rows(
                view=Capability.TEAMS_WRITE, change=Capability.TEAMS_WRITE, teams=("team_id",)
            ),
        )
        people.when_locked_out(services.lock_out)
        asked_for_tokens.register(second_factor.is_right)
