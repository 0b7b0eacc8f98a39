"""Back to an earlier revision of the configuration."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from django.db import transaction

from apps.configuration import documents
from apps.configuration.models import Revision
from apps.configuration.work import Applied
from chatvault.lib.writer import hold_writer

if TYPE_CHECKING:
    from apps.accounts.models import User

KEPT = frozenset({"clients.keys"})


@transaction.atomic
def restore(*, revision: Revision, actor: User | None) -> Applied:
    """Make the configuration what it was, as a new revision.

    Keys have a life of their own: those issued since stay, those that are gone stay gone. A
    secret whose provider moves back to another origin is removed and noted. Raises
    DocumentRefused; nothing was changed then.
    """
    hold_writer()
    return documents.apply(
        document_of(revision),
        source=Revision.Source.ADMIN,
        actor=actor,
        prune=True,
        keep=KEPT,
        may_wipe=True,
        comment=f"Back to revision {revision.pk}",
    )


def plan(revision: Revision) -> tuple[Applied, list[documents.Problem]]:
    """What restoring would do, and what keeps it from being done; nothing is changed."""
    return documents.plan(document_of(revision), prune=True, keep=KEPT, may_wipe=True)


def document_of(revision: Revision) -> dict[str, Any]:
    """The revision's document without the keys that are gone now."""
    document: dict[str, Any] = deepcopy(revision.document)
    present = {
        (client["name"], key["name"])
        for client in documents.export().get("clients", ())
        for key in client.get("keys", ())
    }
    for client in document.get("clients", ()):
        if "keys" in client:
            client["keys"] = [
                key for key in client["keys"] if (client["name"], key["name"]) in present
            ]
    return document
