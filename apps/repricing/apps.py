from django.apps import AppConfig


class RepricingConfig(AppConfig):
    name = "apps.repricing"
    label = "repricing"
    verbose_name = "Repricing"
