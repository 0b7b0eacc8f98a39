"""Taking in a provider's bill: the file is kept, a job reads it, and nothing of it counts before
somebody accepts it."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from django.conf import settings
from django.db import IntegrityError, transaction

from apps.audit import trail
from apps.configuration import job_queue
from apps.invoicing import bills, rates
from apps.invoicing.bills import Fault, Line, Options, Unreadable
from apps.invoicing.errors import InvoicingError, NoRate, NotABill
from apps.invoicing.matching import OUTSIDE, Matcher, Rule
from apps.invoicing.models import Bill, BillFile, BillLine, MatchRule
from apps.providers.models import Deployment, Provider
from chatvault.lib.money import MAX_NANO_USD

MOST_FAULTS: Final = 100
_NANO: Final = Decimal(10**9)
_EVERY: Final = 5_000
_MOST_QUANTITY: Final = Decimal(10) ** 30


class Terms(msgspec.Struct, frozen=True):
    """What whoever imports a bill says of it. Days may be left out: then they are the file's."""

    form: str
    time_zone: str = "UTC"
    currency: str = ""
    starts_on: date | None = None
    ends_on: date | None = None
    mapping: Mapping[str, str] = {}
    day_order: str = "ymd"
    decimal_comma: bool = False


def take(*, provider: Provider, file_name: str, data: bytes, terms: Terms, author: str) -> Bill:
    """Keep the file and have it read. Raises NotABill for what cannot be one, InvoicingError for a
    file that is here already."""
    most = settings.CHATVAULT.invoicing.bill_max_mib * 2**20
    if not data:
        raise NotABill("The file is empty.", param="file")
    if len(data) > most:
        raise NotABill(f"The file is larger than {most // 2**20} MiB.", param="file")
    if terms.form not in bills.FORMATS:
        raise NotABill(f"The format is one of {', '.join(bills.FORMATS)}.", param="form")
    digest = _digest(data)
    same = Bill.objects.filter(digest=digest, provider_name=provider.name).exclude(
        state=Bill.State.DISCARDED
    )
    if known := same.first():
        raise InvoicingError(
            f"This very file was imported on {known.created_at:%Y-%m-%d} already, as bill "
            f"{known.pk}. Discard that one to import it again."
        )
    try:
        with transaction.atomic():
            bill = _keep(provider, file_name, data, terms, author)
    except IntegrityError:
        raise InvoicingError("Somebody imported this file at the same moment.") from None
    return bill


def _keep(provider: Provider, file_name: str, data: bytes, terms: Terms, author: str) -> Bill:
    how = {"day_order": terms.day_order, "decimal_comma": terms.decimal_comma}
    bill = Bill.objects.create(
        provider=provider,
        provider_name=provider.name,
        form=terms.form,
        file_name=file_name[-200:],
        digest=_digest(data),
        file_bytes=len(data),
        time_zone=terms.time_zone,
        currency=terms.currency,
        starts_on=terms.starts_on,
        ends_on=terms.ends_on,
        mapping={"columns": dict(terms.mapping), **how},
        author_name=author[:150],
    )
    BillFile.objects.create(bill=bill, content=gzip.compress(data, mtime=0))
    told = {"provider": provider.name, "file": bill.file_name, "sha256": bill.digest}
    trail.record("bill.imported", target=bill, after=told)
    _send(bill)
    return bill


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _send(bill: Bill) -> None:
    job_queue.enqueue("read-bill", "apps.invoicing.tasks.read_bill", {"bill_id": bill.pk})


@transaction.atomic
def read_again(*, bill: Bill) -> None:
    """Read the kept file anew: rates, rules or deployments have changed. Raises InvoicingError."""
    states = (Bill.State.REFUSED, Bill.State.READ)
    if not Bill.objects.filter(pk=bill.pk, state__in=states).update(state=Bill.State.WAITING):
        raise InvoicingError("Only a bill that does not count yet is read again.")
    trail.record("bill.read_again", target=bill)
    _send(bill)


@transaction.atomic
def discard(*, bill: Bill) -> None:
    """Take a bill out of all comparisons; its file can be imported again. Raises InvoicingError."""
    if bill.adjustments.exclude(state="undone").exists():
        raise InvoicingError("Our cost was adjusted to this bill: undo that first.")
    before = bill.state
    if before == Bill.State.DISCARDED:
        raise InvoicingError("It is discarded already.")
    Bill.objects.filter(pk=bill.pk).update(state=Bill.State.DISCARDED, is_drifting=False)
    bill.matches.all().delete()
    trail.record("bill.discarded", target=bill, before={"state": before})


@transaction.atomic
def accept(*, bill: Bill) -> None:
    """From now on the bill counts: it is compared with our cost. Raises InvoicingError."""
    other = Bill.objects.filter(
        provider_name=bill.provider_name,
        state=Bill.State.COUNTED,
        starts_on__lte=bill.ends_on,
        ends_on__gte=bill.starts_on,
    ).exclude(pk=bill.pk) if bill.has_days else Bill.objects.none()  # fmt: skip
    if known := other.first():
        raise InvoicingError(
            f"Bill {known.pk} of {known.provider_name} counts for {known.starts_on:%Y-%m-%d} to "
            f"{known.ends_on:%Y-%m-%d} already. Discard it, or give each account its own provider."
        )
    found = Bill.objects.filter(pk=bill.pk, state=Bill.State.READ)
    if not found.update(state=Bill.State.COUNTED):
        raise InvoicingError("Only a bill that was read without faults can be accepted.")
    trail.record("bill.accepted", target=bill, after={"usd_nano": bill.usd_nano})
    job_queue.enqueue("compare-bill", "apps.invoicing.tasks.compare_bill", {"bill_id": bill.pk})


def options_of(bill: Bill) -> Options:
    limits = settings.CHATVAULT.invoicing
    return Options(
        zone=ZoneInfo(bill.time_zone),
        currency=bill.currency,
        mapping=bill.mapping.get("columns", {}),
        day_order=bill.mapping.get("day_order", "ymd"),
        decimal_comma=bool(bill.mapping.get("decimal_comma")),
        most_rows=limits.bill_max_rows,
        most_bytes=limits.bill_max_mib * 2**20,
    )


class _Sum(msgspec.Struct):
    amount: Decimal
    first_row: int
    quantity: Decimal | None = None
    rows: int = 0


class _Found:
    """What a file holds, summed by day, name and aside."""

    def __init__(self) -> None:
        self.sums: dict[tuple[date, str, str], _Sum] = {}
        self.faults: list[str] = []
        self.fault_count = 0
        self.rows = 0
        self.currency = ""

    def fault(self, number: int, reason: str) -> None:
        self.fault_count += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(f"Line {number}: {reason}.")

    def add(self, line: Line) -> None:
        self.rows += 1
        self.currency = self.currency or line.currency
        if line.currency != self.currency:
            self.fault(line.number, f"it is in {line.currency}, others in {self.currency}")
            return
        key = (line.day, line.model, line.aside)
        known = self.sums.setdefault(key, _Sum(Decimal(0), line.number))
        known.amount += line.amount
        known.rows += 1
        if line.quantity is not None and abs(line.quantity) < _MOST_QUANTITY:
            known.quantity = (known.quantity or Decimal(0)) + line.quantity


def read(bill: Bill, progress: Callable[[int], None] = lambda done: None) -> None:
    """Read the kept file into lines, all or none; the bill then says how it went. Reading it again
    gives the same."""
    if bill.state != Bill.State.WAITING:
        return
    try:
        data = gzip.decompress(bytes(bill.file.content))
        with localcontext() as context:
            context.prec = 120
            found = _collect(bill, data, progress)
            lines = _lines(bill, found)
    except (Unreadable, NoRate) as refused:
        _refuse(bill, str(refused))
        return
    if found.fault_count:
        reason = f"{found.fault_count} of its lines cannot be taken. Nothing of it counts."
        _refuse(bill, reason, found)
        return
    if not lines:
        _refuse(bill, "There is no line for a model of this provider in the file.", found)
        return
    _store(bill, found, lines)


def _collect(bill: Bill, data: bytes, progress: Callable[[int], None]) -> _Found:
    found = _Found()
    for count, line in enumerate(bills.read(bill.form, data, options_of(bill)), start=1):
        if isinstance(line, Fault):
            found.fault(line.number, line.reason)
        else:
            found.add(line)
        if not count % _EVERY:
            progress(count)
    progress(found.rows)
    return found


def _lines(bill: Bill, found: _Found) -> list[BillLine]:
    """One rounding for each day and name. Raises NoRate."""
    matcher = matcher_of(bill.provider_id)
    dated: dict[date, rates.Dated] = {}
    lines = []
    for (day, billed_model, aside), summed in sorted(found.sums.items()):
        nano = int((summed.amount * _NANO).quantize(Decimal(1), rounding=ROUND_HALF_UP))
        rate = dated.get(day)
        if rate is None:
            rate = dated[day] = rates.get_rate(found.currency, day)
        usd = rates.to_usd(nano, rate)
        if max(abs(nano), abs(usd)) > MAX_NANO_USD:
            found.fault(summed.first_row, "the sum of the day is absurdly large")
            continue
        model, why = matcher.find(billed_model)
        if aside:
            model, why = "", aside
        elif _is_outside(bill, day):
            model, why = "", OUTSIDE
        lines.append(
            BillLine(
                bill=bill,
                day=day,
                billed_model=billed_model,
                model=model,
                amount_nano=nano,
                usd_nano=usd,
                rate_day=rate.day,
                quantity=_rounded(summed.quantity),
                rows=summed.rows,
                first_row=summed.first_row,
                unmatched=why[:100],
            )
        )
    return lines


def _rounded(quantity: Decimal | None) -> Decimal | None:
    return None if quantity is None else quantity.quantize(Decimal("0.000001"))


def _is_outside(bill: Bill, day: date) -> bool:
    return bool((bill.starts_on and day < bill.starts_on) or (bill.ends_on and day > bill.ends_on))


def matcher_of(provider_id: int | None) -> Matcher:
    """Of a provider that is gone: nothing is known."""
    if provider_id is None:
        return Matcher((), ())
    rules = MatchRule.objects.filter(provider_id=provider_id).values_list("billed_model", "model")
    models = Deployment.objects.filter(provider_id=provider_id).order_by()
    return Matcher(
        [Rule(*row) for row in rules], sorted(set(models.values_list("model", flat=True)))
    )


@transaction.atomic
def _refuse(bill: Bill, reason: str, found: _Found | None = None) -> None:
    bill.lines.all().delete()
    _finish(
        bill,
        state=Bill.State.REFUSED,
        problem=reason[:500],
        faults=found.faults if found else [],
        fault_count=found.fault_count if found else 0,
        row_count=found.rows if found else 0,
    )


@transaction.atomic
def _store(bill: Bill, found: _Found, lines: list[BillLine]) -> None:
    bill.lines.all().delete()
    BillLine.objects.bulk_create(lines, batch_size=1_000)
    days = [line.day for line in lines if line.unmatched != OUTSIDE] or [lines[0].day]
    _finish(
        bill,
        state=Bill.State.READ,
        problem="",
        faults=[],
        fault_count=0,
        row_count=found.rows,
        currency=found.currency,
        starts_on=bill.starts_on or min(days),
        ends_on=bill.ends_on or max(days),
        amount_nano=sum(line.amount_nano for line in lines),
        usd_nano=sum(line.usd_nano for line in lines),
        matched_usd_nano=sum(line.usd_nano for line in lines if not line.unmatched),
    )


def _finish(bill: Bill, **values: Any) -> None:
    """Unless somebody discarded it meanwhile."""
    if Bill.objects.filter(pk=bill.pk, state=Bill.State.WAITING).update(**values):
        for name, value in values.items():
            setattr(bill, name, value)
