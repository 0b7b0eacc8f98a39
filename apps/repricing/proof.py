"""What must hold of repricings: they booked what was approved, and undoing is the opposite."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Case, F, Sum, When

from apps.billing.models import LedgerEntry
from apps.repricing.models import Repricing
from apps.usage.findings import EXAMPLES, Example, Finding

State = Repricing.State


def findings() -> Iterator[Finding]:
    account = LedgerEntry.Account
    entries = LedgerEntry.objects.filter(batch_id__startswith="repricing:").order_by()
    sums = entries.values("batch_id").annotate(
        client=Sum(Case(When(account=account.CLIENT, then=F("amount_nano")), default=0)),
        provider=Sum(Case(When(account=account.PROVIDER, then=F("amount_nano")), default=0)),
    )
    booked = {row["batch_id"]: (-int(row["client"]), int(row["provider"])) for row in sums}
    checked = 0
    wrong: list[Example] = []
    for one in Repricing.objects.filter(state__in=(State.BOOKED, State.UNDONE)).order_by("pk"):
        checked += 1
        approved = (one.charged_delta_nano, one.cost_delta_nano)
        found = booked.pop(one.batch_id, (0, 0))
        undone = booked.pop(one.undo_batch_id, (0, 0))
        expected = (0, 0) if one.state == State.BOOKED else (-approved[0], -approved[1])
        if found != approved or undone != expected:
            text = f"repricing {one.pk}: approved {approved}, booked {found}, undone {undone}"
            wrong.append(Example(text, "repricing", str(one.pk)))
    moving = Repricing.objects.filter(state__in=(State.APPROVED, State.UNDOING))
    known = {name for one in moving for name in (one.batch_id, one.undo_batch_id)}
    wrong += [
        Example(f"batch {name} has no repricing that booked it", "repricing", name)
        for name in sorted(booked.keys() - known)
    ]
    name = "repricings booked what was approved"
    yield Finding(name, checked, len(wrong), wrong[:EXAMPLES], "repricings")
