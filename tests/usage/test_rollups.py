from datetime import UTC, datetime, timedelta

from apps.usage import rollups
from apps.usage.models import HourlyRollup
from apps.usage.tasks import roll_up_hour
from chatvault.lib.ids import uuid7_bytes
from tests.usage.samples import AT_MS, intent, settle, start

HOUR = datetime(2026, 9, 21, 14, tzinfo=UTC)


def write(world) -> None:
    def whole(client_id: int, at_ms: int = AT_MS, **changes):
        one = uuid7_bytes()
        return [intent(one, client_id=client_id, at_ms=at_ms), start(one), settle(one, **changes)]

    world.write_dead(
        *whole(21),
        *whole(21, outcome="error", first_token_ms=-1),
        *whole(22, outcome="cancelled"),
        *whole(22, deployment_id=0),
        *whole(21, at_ms=AT_MS - 3_600_000),
        intent(client_id=21),
    )
    world.ingest()


def sums() -> list[tuple[object, ...]]:
    fields = [field.name for field in HourlyRollup._meta.fields if field.name != "id"]
    return sorted(HourlyRollup.objects.values_list(*fields))


def test_computing_anew_gives_what_ingest_added_up(world):
    write(world)
    before = sums()
    assert len(before) == 5
    for _ in range(2):
        assert rollups.recompute(HOUR - timedelta(hours=1), HOUR + timedelta(hours=1)) == 5
        assert sums() == before


def test_wrong_sums_are_put_right(world):
    write(world)
    before = sums()
    HourlyRollup.objects.filter(hour=HOUR, client_id=21).delete()
    HourlyRollup.objects.filter(hour=HOUR, client_id=22).update(requests=99)
    HourlyRollup.objects.create(
        hour=HOUR, team_id=1, client_id=1, key_id=1, alias="ghost", deployment_id=0, requests=5
    )
    roll_up_hour(hour=HOUR.isoformat())
    assert sums() == before


def test_other_hours_are_left_alone(world):
    write(world)
    HourlyRollup.objects.filter(hour=HOUR - timedelta(hours=1)).update(requests=99)
    rollups.recompute(HOUR, HOUR + timedelta(hours=1))
    assert HourlyRollup.objects.get(hour=HOUR - timedelta(hours=1)).requests == 99
