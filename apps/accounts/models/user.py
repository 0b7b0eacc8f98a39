from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """A person. What they may do follows from their roles alone: Django's own permissions and
    groups decide nothing, whichever authentication backends are installed. A superuser is an
    owner of the installation; `is_staff` opens nothing."""

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        from apps.accounts import permissions

        return permissions.has_perm(self, perm)

    def has_perms(self, perm_list: Iterable[str], obj: Any = None) -> bool:
        return all(self.has_perm(each, obj) for each in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        from apps.accounts import permissions

        return permissions.has_module_perms(self, app_label)

    def get_user_permissions(self, obj: Any = None) -> set[str]:
        return set()

    def get_group_permissions(self, obj: Any = None) -> set[str]:
        return set()

    def get_all_permissions(self, obj: Any = None) -> set[str]:
        return set()
