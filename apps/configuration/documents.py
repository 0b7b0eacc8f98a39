"""Configuration documents: apply one, export what there is, check one without applying it.

A document touches what it names: items that it does not name stay, and so do fields that an item
leaves out. Lists that belong to one item and have no life of their own (targets, quotas, budgets,
a client's aliases) are replaced where they are given. With `prune` the document is the whole
truth: what it does not name goes, and fields that are left out return to their defaults.

Secrets are `env:NAME` or `file:PATH`. An export writes `sealed:…` for one that the database
keeps; applying that mark leaves the stored secret as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction

from apps.configuration import loading, reading, registry, revisions
from apps.configuration.exporting import export
from apps.configuration.gaps import find_gaps
from apps.configuration.problems import DocumentRefused, Problem
from apps.configuration.work import Applied, Work
from chatvault.lib.writer import hold_writer

if TYPE_CHECKING:
    from apps.accounts.models import User

__all__ = ["Applied", "DocumentRefused", "Problem", "apply", "check", "export"]


class _CheckedOnly(Exception):
    """Takes back what a check has tried."""


def apply(
    document: dict[str, Any] | str,
    *,
    source: str,
    actor: User | None,
    prune: bool = False,
    keep: frozenset[str] = frozenset(),
    may_wipe: bool = False,
    comment: str = "",
) -> Applied:
    """Make the database what the document says, in one transaction with its revision.

    `source` is a Revision.Source. `keep` names collections (`clients.keys`) that are not pruned;
    `may_wipe` lets providers move to another origin without their secrets. Raises
    DocumentRefused with every problem; then nothing was changed. What the whole configuration
    then lacks to serve is in the notes.
    """
    work = Work(actor=actor, prune=prune, keep=keep, may_wipe=may_wipe)
    with transaction.atomic():
        hold_writer()
        _write(document, work)
        revision = revisions.record(source=source, actor=actor, comment=comment)
        work.applied.revision = revision.pk
        _note_gaps(revision.document, work)
    return work.applied


def check(document: dict[str, Any] | str, *, prune: bool = False) -> list[Problem]:
    """What would keep the document from being applied now; nothing is changed."""
    return plan(document, prune=prune)[1]


def plan(
    document: dict[str, Any] | str, *, prune: bool = False, **options: Any
) -> tuple[Applied, list[Problem]]:
    """What applying would do, and what keeps it from doing so; nothing is changed."""
    work = Work(actor=None, prune=prune, **options)
    try:
        with transaction.atomic():
            _write(document, work)
            _note_gaps(export(), work)
            raise _CheckedOnly
    except _CheckedOnly:
        return work.applied, []
    except DocumentRefused as refused:
        return work.applied, refused.problems


def _write(document: dict[str, Any] | str, work: Work) -> None:
    data = loading.load(document) if isinstance(document, str) else document
    items = reading.read(data, work)
    _stop_on_problems(work)
    for section in registry.sections():
        is_given = section.name in items
        if is_given or work.prune:
            section.apply(items.get(section.name, []), None, "", work, is_given=is_given)
    _stop_on_problems(work)
    work.remove_now()


def _note_gaps(whole: dict[str, Any], work: Work) -> None:
    work.applied.notes += map(str, find_gaps(whole, home=settings.CHATVAULT.home))


def _stop_on_problems(work: Work) -> None:
    if work.problems:
        raise DocumentRefused(work.problems[: reading.MAX_PROBLEMS])
