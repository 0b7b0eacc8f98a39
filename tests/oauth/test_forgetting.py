from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine

from apps.oauth.models import AccessToken, Grant, RefreshToken
from apps.oauth.tasks import forget_oauth
from chatvault.lib import clock
from tests.oauth.kit import make_scene

pytestmark = pytest.mark.django_db


def test_what_has_ended_is_forgotten_and_what_lives_stays():
    scene = make_scene()
    pair = scene.tokens()
    with time_machine.travel(clock.now() + timedelta(hours=1)):
        forget_oauth.apply()
        assert Grant.objects.count() == 0
        assert scene.refresh(pair["refresh_token"]).status_code == 200
    with time_machine.travel(clock.now() + timedelta(days=40)):
        forget_oauth.apply()
    assert (AccessToken.objects.count(), RefreshToken.objects.count()) == (0, 0)
