"""Versions of the whole configuration."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction

from apps.audit import acting, trail
from apps.configuration import announce, exporting
from apps.configuration.diff import diff
from apps.configuration.models import Revision
from chatvault.lib import tenancy
from chatvault.lib.writer import hold_writer

if TYPE_CHECKING:
    from apps.accounts.models import User

TOPIC = "configuration.revision"
_ACTIONS: Final[dict[str, str]] = {
    Revision.Source.DOCUMENT: "configuration.applied",
    Revision.Source.FIRST_RUN: "configuration.first_run",
}


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
    _tell(revision, last, actor)
    return revision


def _tell(revision: Revision, last: Revision | None, actor: User | None) -> None:
    """One event with what changed, by paths such as `clients[notebook].tier`."""
    differences = diff(last.document if last is not None else {}, revision.document)
    who = acting.current()
    if actor is not None and who.user_id != actor.pk:  # a command in somebody's name
        who = acting.Actor("person", actor.get_username(), actor.pk, who.address)
    trail.record(
        _ACTIONS.get(revision.source, "configuration.changed"),
        target=revision,
        before={each.path: each.before for each in differences if each.kind != "added"},
        after={each.path: each.after for each in differences if each.kind != "removed"},
        actor=who,
    )
