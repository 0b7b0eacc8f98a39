"""Verifications that leave a mark: what they found, and under a seal how far the trail went."""

from __future__ import annotations

import logging
from typing import Final

from apps.audit import seal
from apps.audit.models import AuditCheckpoint
from apps.audit.verify import HASH_SHOWN, Progress, Report, verify
from chatvault.lib import clock

_logger: Final = logging.getLogger(__name__)


def check_all(progress: Progress | None = None) -> AuditCheckpoint:
    """Verify the whole trail and keep what was found."""
    return _keep(AuditCheckpoint.Scope.WHOLE, verify(progress=progress))


def check_recent(progress: Progress | None = None) -> AuditCheckpoint:
    """Verify what came since the last checkpoint that found nothing wrong."""
    last = AuditCheckpoint.objects.filter(findings=0).order_by("-pk").first()
    since = last.last_id if last is not None and last.last_id else 1
    return _keep(AuditCheckpoint.Scope.RECENT, verify(from_id=since, progress=progress))


def latest(scope: AuditCheckpoint.Scope) -> AuditCheckpoint | None:
    return AuditCheckpoint.objects.filter(scope=scope).order_by("-pk").first()


def _keep(scope: AuditCheckpoint.Scope, report: Report) -> AuditCheckpoint:
    """The line in the log is an anchor that nobody with the database alone can take back."""
    sealed = seal.make(report.last_id, report.hash)
    kept = AuditCheckpoint.objects.create(
        at=clock.now(),
        scope=scope,
        first_id=report.first_id,
        last_id=report.last_id,
        checked=report.checked,
        findings=report.findings,
        examples=report.examples,
        hash=report.hash,
        key_id=sealed.key_id,
        seal=sealed.value,
    )
    level = logging.WARNING if report.findings else logging.INFO
    _logger.log(
        level,
        "audit trail verified to event %s, hash %s: %s findings",
        report.last_id,
        report.hash[:HASH_SHOWN],
        report.findings,
    )
    return kept
