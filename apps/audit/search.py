"""Finding events, by indexes alone: a million rows are no reason to wait."""

from __future__ import annotations

from typing import Final

from django.db import connection
from django.db.models import Q, QuerySet

from apps.audit.models import AuditEvent

KINDS: Final = (
    ("person", "People"),
    ("key", "Keys"),
    ("jwt", "JWTs"),
    ("oauth", "OAuth applications"),
    ("anonymous", "Not signed in"),
    ("system", "ChatVault itself"),
)
_TOPICS: Final = (
    "WITH RECURSIVE found(topic) AS (SELECT MIN(topic) FROM audit_auditevent UNION ALL "
    "SELECT (SELECT MIN(topic) FROM audit_auditevent WHERE topic > found.topic) FROM found "
    "WHERE found.topic IS NOT NULL) SELECT topic FROM found WHERE topic IS NOT NULL"
)


def topics() -> list[str]:
    """What stands before the dot in actions that there are; one step of an index for each."""
    with connection.cursor() as cursor:
        cursor.execute(_TOPICS)
        return [row[0] for row in cursor.fetchall()]


def matching(events: QuerySet[AuditEvent], text: str) -> QuerySet[AuditEvent]:
    """Events of a request, or whose actor's or target's name begins so. `%` and `_` are
    letters like any other."""
    term = text.replace("\x00", "").strip()[:200]
    if not term:
        return events
    return events.filter(
        Q(request_id=term) | Q(actor__startswith=term) | Q(target__startswith=term)
    )
