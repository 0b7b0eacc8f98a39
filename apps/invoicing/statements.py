"""Issuing statements and credit notes: numbered without gaps, in order, never changed again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from apps.accounts.models import Client, Team
from apps.audit import trail
from apps.billing import budget_windows
from apps.billing.models import LedgerEntry
from apps.invoicing import documents, figures, rates
from apps.invoicing.errors import InvoicingError
from apps.invoicing.figures import Key, Series, Sums
from apps.invoicing.models import CreditedEntry, Statement, StatementFile, StatementLine
from apps.invoicing.months import Month, month_at
from apps.usage.models import HourlyRollup
from chatvault.lib import clock
from chatvault.lib.writer import hold_writer

_DIGITS: Final = 6


@transaction.atomic
def issue(
    *,
    team: Team,
    month: Month,
    author: str,
    currency: str = rates.DOLLAR,
    client: Client | None = None,
) -> Statement:
    """The statement of a month, after the credit note of what came too late for earlier ones.

    Raises InvoicingError when the month is not over, has a statement, or is not the next of its
    series; NoRate without an exchange rate for its last day.
    """
    documents.prepare()
    series = Series(team.pk, client.pk if client else None)
    budget_windows.lock()  # what is booked now is complete
    _check(series, month)
    through = _last_entry()
    made = _begin(team, client, month, author, through)
    _set_rate(made, currency, month)
    late = figures.corrections(series, month.starts_at, month.ends_at, through)
    if any(row.account == LedgerEntry.Account.CLIENT for row in late):
        _credit_note(_begin(team, client, month, author, through), late)
        late = []
    found = figures.used(series, month)
    _compare(series, month, through, found)
    figures.adjusted(series, month, through, found)
    notes = list(series.documents().filter(kind=Statement.Kind.CREDIT_NOTE, listed_in=None))
    _take_over(notes, found)
    for key, sums in figures.credited(late).items():  # of cost alone: no note for a team
        found.setdefault(key, Sums()).cost_nano += sums.cost_nano
    _finish(made, found, notes)
    _mark(made, late)
    Statement.objects.filter(pk__in=[note.pk for note in notes]).update(listed_in=made)
    return made


@transaction.atomic
def issue_credit_note(*, team: Team, author: str, client: Client | None = None) -> Statement:
    """A credit note of what was corrected since the last statement for the time before its end.

    Raises InvoicingError when there is nothing, or no statement yet.
    """
    documents.prepare()
    series = Series(team.pk, client.pk if client else None)
    budget_windows.lock()
    last = series.last_statement()
    if last is None:
        raise InvoicingError("There is no statement yet that could be corrected.")
    through = _last_entry()
    rows = figures.corrections(series, last.ends_at, None, through)
    if not any(row.account == LedgerEntry.Account.CLIENT for row in rows):
        raise InvoicingError("Nothing was corrected since the last statement.")
    month = month_at(last.ends_at)
    return _credit_note(_begin(team, client, month, author, through), rows)


def pending(team_ids: Iterable[int], month: Month) -> list[int]:
    """Of these teams those that get a statement of the month: they used something, or have
    statements already."""
    wanted = set(team_ids)
    rows = HourlyRollup.objects.filter(
        team_id__in=wanted, hour__gte=month.starts_at, hour__lt=month.ends_at
    )
    busy = set(rows.order_by().values_list("team_id", flat=True).distinct())
    statements = Statement.objects.filter(kind=Statement.Kind.STATEMENT, client_id=None)
    known = set(statements.filter(team_id__in=wanted).values_list("team_id", flat=True))
    done = set(statements.filter(starts_at=month.starts_at).values_list("team_id", flat=True))
    return sorted((busy | known) - done)


def _credit_note(made: Statement, rows: list[figures.Correction]) -> Statement:
    """In USD: the statement that takes it over converts the whole once."""
    made.kind = Statement.Kind.CREDIT_NOTE
    _finish(made, figures.credited(rows), [])
    _mark(made, rows)
    return made


def _check(series: Series, month: Month) -> None:
    if clock.now() < month.ends_at:
        raise InvoicingError(f"{month} is not over yet.")
    last = series.last_statement()
    if last is None:
        return
    if last.starts_at == month.starts_at:
        raise InvoicingError(f"{month} has a statement already: {last.reference}.")
    if last.starts_at > month.starts_at:
        raise InvoicingError(
            f"{last.reference} is of a later month: what changed in {month} comes as a credit note."
        )
    if last.ends_at != month.starts_at:
        missing = month_at(last.ends_at)
        raise InvoicingError(f"Issue the statement of {missing} first: they follow each other.")


def _compare(series: Series, month: Month, through: int, found: Mapping[Key, Sums]) -> None:
    summed = sum(sums.charged_nano for sums in found.values())
    booked = figures.charged_by_ledger(series, month, through)
    if summed != booked:
        raise InvoicingError(
            f"The hourly sums of {month} say {summed} nano-USD, the ledger {booked}. Nothing was "
            "issued: let the job roll-up-recent-hours run, and see verify-ledger."
        )


def _last_entry() -> int:
    return int(LedgerEntry.objects.aggregate(last=Max("pk"))["last"] or 0)


def _begin(team: Team, client: Client | None, month: Month, author: str, through: int) -> Statement:
    return Statement(
        team_id=team.pk,
        team_name=team.name,
        client_id=client.pk if client else None,
        client_name=client.name if client else "",
        starts_at=month.starts_at,
        ends_at=month.ends_at,
        time_zone=settings.CHATVAULT.invoicing.time_zone,
        through_entry=through,
        author_name=author[:150],
    )


def _set_rate(made: Statement, currency: str, month: Month) -> None:
    rate = rates.get_rate(currency, month.last_day)
    made.currency = currency
    if rate.day is not None:
        made.rate, made.rate_day = rate.rate, rate.day


def _take_over(notes: Iterable[Statement], found: dict[Key, Sums]) -> None:
    """What credit notes since the last statement say, line by line."""
    for line in StatementLine.objects.filter(statement__in=list(notes)):
        one = found.setdefault((line.client_id, line.model), Sums())
        one.credited_nano += line.credited_nano
        one.cost_nano += line.cost_nano


def _finish(made: Statement, found: Mapping[Key, Sums], notes: list[Statement]) -> None:
    """Number, lines, totals and files; from here on nothing changes."""
    names = figures.names_of(client_id for client_id, _ in found)
    lines = [
        StatementLine(
            statement=made,
            client_id=client_id,
            client_name=names[client_id],
            model=model,
            **{name: getattr(sums, name) for name in Sums.__struct_fields__},
        )
        for (client_id, model), sums in found.items()
        if not sums.is_empty
    ]
    lines.sort(key=lambda line: (line.client_name, line.client_id, line.model))
    for name in ("charged_nano", "adjusted_nano", "credited_nano", "cost_nano", "requests"):
        setattr(made, name, sum(getattr(line, name) for line in lines))
    made.total_nano = made.charged_nano + made.adjusted_nano + made.credited_nano
    made.total_currency_nano = rates.from_usd(made.total_nano, _rate_of(made))
    made.issued_at = clock.now()
    hold_writer()  # one number after the other, and none is lost: this commits or nothing does
    made.number = int(Statement.objects.aggregate(last=Max("number"))["last"] or 0) + 1
    prefix = settings.CHATVAULT.invoicing.number_prefix
    made.reference = f"{prefix}{made.number:0{_DIGITS}d}"
    made.save(force_insert=True)
    StatementLine.objects.bulk_create(lines, batch_size=1_000)
    _keep_files(made, lines, notes)
    told = {"number": made.reference, "total_nano": made.total_nano, "currency": made.currency}
    action = "statement.credit_note_issued" if _is_note(made) else "statement.issued"
    trail.record(action, target=made, after=told, team_id=made.team_id)


def _is_note(made: Statement) -> bool:
    return made.kind == Statement.Kind.CREDIT_NOTE


def _rate_of(made: Statement) -> rates.Dated:
    if made.rate is None:
        return rates.ONE
    return rates.Dated(int(made.rate.scaleb(12)), made.rate_day)


def _keep_files(made: Statement, lines: list[StatementLine], notes: list[Statement]) -> None:
    files = []
    for shows_margins in (False, True):
        paper = documents.Paper(made, lines, notes, shows_margins)
        for form, content in (("csv", documents.as_csv(paper)), ("pdf", documents.as_pdf(paper))):
            digest = hashlib.sha256(content).hexdigest()
            files.append(
                StatementFile(
                    statement=made, form=form, shows_margins=shows_margins, content=content,
                    digest=digest,
                )
            )  # fmt: skip
    StatementFile.objects.bulk_create(files)


def _mark(made: Statement, rows: Iterable[figures.Correction]) -> None:
    is_of_client = made.client_id is not None
    CreditedEntry.objects.bulk_create(
        (
            CreditedEntry(statement=made, entry_id=row.entry_id, is_of_client=is_of_client)
            for row in rows
        ),
        batch_size=1_000,
    )
