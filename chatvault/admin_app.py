"""Django's admin, whose pages may be found later than at start.

Finding them imports forms, widgets and every admin module: most of a second on one core that a
gateway does not need before its first answer. `chatvault.urls` finds them in any case.
"""

from typing import ClassVar

from django.contrib.admin import autodiscover
from django.contrib.admin.apps import SimpleAdminConfig


class AdminConfig(SimpleAdminConfig):
    default = False
    default_site = "apps.accounts.admin_site.Site"
    finds_pages_at_start: ClassVar[bool] = True

    def ready(self) -> None:
        super().ready()
        if self.finds_pages_at_start:
            autodiscover()
