from django.apps import AppConfig


class SignInConfig(AppConfig):
    name = "apps.sign_in"
    label = "sign_in"
    verbose_name = "Sign-in"
