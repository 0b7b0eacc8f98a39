"""Alerts: found once, told once, brought to people by mail, webhook and chat.

Apps above say `from apps import alerts` and `alerts.tell(...)`; models are loaded by the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any


def tell(
    topic: str,
    *,
    key: str,
    title: str,
    text: str,
    team_id: int | None,
    facts: Mapping[str, Any],
    until: datetime | None = None,
    link: str = "",
) -> int:
    """Tell it once: see `apps.alerts.services.tell`."""
    from apps.alerts import services

    return services.tell(
        topic,
        key=key,
        title=title,
        text=text,
        team_id=team_id,
        facts=facts,
        until=until,
        link=link,
    )
