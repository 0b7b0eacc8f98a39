"""When background work is due. Every task is found by query, so a lost message costs one turn."""

from typing import Any, Final

_HOUR_S: Final = 3600.0

SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    "roll-up-recent-hours": {
        "task": "apps.usage.tasks.roll_up_recent_hours",
        "schedule": _HOUR_S,
        "options": {"expires": _HOUR_S},
    },
}
