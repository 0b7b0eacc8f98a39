"""Two owners who take the role from each other at the same moment: one of them stays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from apps.accounts import errors, people
from apps.accounts.models import User
from apps.accounts.principals import of_user
from apps.accounts.roles import Role
from tests.factories import make_person

pytestmark = pytest.mark.django_db(transaction=True)
TIMES = 10


def test_an_installation_never_loses_its_last_owner():
    for _ in range(TIMES):
        User.objects.all().delete()
        one, two = make_person("owner"), make_person("owner")
        together = Barrier(2)

        def take(user: User, other: User, demote: bool, start: Barrier = together) -> str:
            by = of_user(user)
            start.wait(5)
            try:
                if demote:
                    people.take_role(user=other, role=Role.OWNER, by=by)
                else:
                    people.disable_user(user=other, by=by)
            except errors.LastOwner:
                return "kept"
            finally:
                connection.close()
            return "taken"

        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(take, one, two, True)
            second = threads.submit(take, two, one, False)
            assert sorted([first.result(20), second.result(20)]) == ["kept", "taken"]
        assert User.objects.filter(is_superuser=True, is_active=True).count() == 1
