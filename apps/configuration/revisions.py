"""Versions of the whole configuration."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from django.db import transaction

from apps.configuration import announce, exporting
from apps.configuration.models import Revision
from chatvault.lib import tenancy
from chatvault.lib.writer import hold_writer

if TYPE_CHECKING:
    from apps.accounts.models import User

TOPIC = "configuration.revision"


def digest_of(document: dict[str, Any]) -> str:
    """SHA-256 of a document in its canonical form."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def latest() -> Revision | None:
    return Revision.objects.order_by("-pk").first()


def latest_id() -> int:
    """The version that gateways should serve; 0 before the first."""
    return Revision.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


@transaction.atomic
def record(*, source: str, actor: User | None, comment: str = "") -> Revision:
    """Keep the present configuration as a version and announce it; call it in the transaction
    that made the change. The latest revision comes back when nothing differs from it."""
    hold_writer()
    with tenancy.unlimited():  # the document is whole, whoever made the change
        document = exporting.export()
    digest = digest_of(document)
    last = latest()
    if last is not None and last.digest == digest:
        return last
    revision = Revision.objects.create(
        author=actor, source=source, comment=comment[:255], document=document, digest=digest
    )
    announce.after_commit(TOPIC, str(revision.pk))
    return revision
