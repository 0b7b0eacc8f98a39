from django.apps import AppConfig


class UsageConfig(AppConfig):
    name = "apps.usage"
    label = "usage"
    verbose_name = "Usage"

    def ready(self) -> None:
        from apps.accounts import key_use
        from apps.billing import adjustments, spending
        from apps.providers import notices
        from apps.usage import credential_trouble, day_sums, key_requests, permissions
        from apps.usage.spending import from_rollups

        permissions.register_own()
        key_use.register(key_requests.requests_since)
        spending.register(from_rollups)
        adjustments.follow(day_sums.adjusted)
        notices.register(credential_trouble.notices)
