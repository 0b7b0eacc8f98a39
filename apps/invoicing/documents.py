"""Statements and credit notes as files. The CSV has every figure in full; the PDF is for people.

The PDF embeds the parts that it needs of DejaVu Sans (Latin, Greek, Cyrillic, Arabic, Hebrew and
more). What that font has no letter for is written as its code, and a note says so.
"""

from __future__ import annotations

import csv
import io
import logging
import warnings
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings

from apps.invoicing.models import Statement, StatementLine
from chatvault.lib.money import NANO_PER_USD, usd_from_nano

if TYPE_CHECKING:
    from fpdf import FPDF

_FONT: Final = Path(__file__).parent / "fonts" / "DejaVuSans.ttf"
_FAMILY: Final = "DejaVu"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_NOTE: Final = (
    "Letters that this document's font does not have are written as their codes, such as "
    "[U+4E2D]; the CSV of this document has them as they are."
)
_COLUMNS: Final = (
    "number", "kind", "team", "client", "model", "from", "to", "time_zone", "requests",
    "input_tokens", "output_tokens", "charged_usd", "adjustments_usd", "credit_notes_usd",
    "total_usd",
)  # fmt: skip
_MARGINS: Final = ("cost_usd", "margin_usd")
_TOTALS: Final = ("currency", "usd_for_1", "rate_day", "total_in_currency")


class Paper(NamedTuple):
    """One document: `notes` are the credit notes that it takes over."""

    statement: Statement
    lines: Sequence[StatementLine]
    notes: Sequence[Statement]
    shows_margins: bool


def as_csv(paper: Paper) -> bytes:
    """A row for each client and model, and a last one of totals with the currency and its rate."""
    statement = paper.statement
    text = io.StringIO()
    writer = csv.writer(text)
    margins = _MARGINS if paper.shows_margins else ()
    writer.writerow((*_COLUMNS, *margins, *_TOTALS))
    for line in paper.lines:
        writer.writerow(_csv_row(paper, line, line.client_name, line.model))
    total = _csv_row(paper, _total_of(paper), "", "total")
    rate = f"{statement.rate.normalize():f}" if statement.rate is not None else ""
    day = statement.rate_day.isoformat() if statement.rate_day else ""
    writer.writerow((*total, statement.currency, rate, day, _plain(statement.total_currency_nano)))
    return text.getvalue().encode("utf-8")


def _csv_row(paper: Paper, line: StatementLine, client: str, model: str) -> list[str]:
    statement = paper.statement
    first, last = _days(statement)
    row = [
        statement.reference, statement.kind, statement.team_name, client, model, first, last,
        statement.time_zone,
    ]  # fmt: skip
    cells = [f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in row]
    cells += [str(line.requests), str(line.input_tokens), str(line.output_tokens)]
    amounts = [line.charged_nano, line.adjusted_nano, line.credited_nano, line.total_nano]
    if paper.shows_margins:
        amounts += [line.cost_nano, line.total_nano - line.cost_nano]
    return cells + [_plain(nano) for nano in amounts]


def _total_of(paper: Paper) -> StatementLine:
    names = (
        "requests", "input_tokens", "output_tokens", "charged_nano", "adjusted_nano",
        "credited_nano", "cost_nano",
    )  # fmt: skip
    return StatementLine(**{n: sum(getattr(line, n) for line in paper.lines) for n in names})


def as_pdf(paper: Paper) -> bytes:
    """Pages of A4, with page numbers."""
    pdf = _new(paper.statement)
    _head(pdf, paper.statement)
    _table(pdf, paper)
    _sums(pdf, paper)
    _notes(pdf, paper)
    return bytes(pdf.output())


def prepare() -> None:
    """Load what PDFs need, which takes a second the first time: before any lock is taken."""
    import fpdf  # noqa: F401

    _letters()


def _new(statement: Statement) -> FPDF:
    from fpdf import FPDF

    class Document(FPDF):
        hides_letters = False

        def footer(self) -> None:
            self.set_y(-14)
            self.set_font(_FAMILY, size=7)
            self.cell(0, 5, f"{statement.reference} · page {self.page_no()} of {{nb}}", align="R")

    for name in ("fontTools", "fpdf"):  # they tell of every glyph
        logging.getLogger(name).setLevel(logging.WARNING)
    pdf = Document(format="A4")
    pdf.set_title(statement.reference)
    pdf.set_creator("ChatVault")
    pdf.set_lang("en")
    pdf.set_creation_date(statement.issued_at)
    pdf.set_auto_page_break(True, margin=18)
    pdf.add_font(_FAMILY, fname=_FONT)
    pdf.add_page()
    return pdf


def _head(pdf: FPDF, statement: Statement) -> None:
    is_note = statement.kind == Statement.Kind.CREDIT_NOTE
    issuer = [part.strip() for part in settings.CHATVAULT.invoicing.issuer.split("|")]
    for line in issuer if any(issuer) else []:
        _line(pdf, line, size=8)
    pdf.ln(4)
    _line(
        pdf, f"{'Credit note' if is_note else 'Statement'} {statement.reference}", size=16, high=9
    )
    pdf.ln(2)
    first, last = _days(statement)
    whose = f"Team and cost centre: {statement.team_name}"
    _line(pdf, whose, size=10)
    if statement.client_id is not None:
        _line(pdf, f"Client: {statement.client_name}", size=10)
    if is_note:
        text = f"Corrections of the time before {first}, known at {_instant(statement)}"
    else:
        text = f"{first} to {last} ({statement.time_zone})"
    _line(pdf, text, size=10)
    _line(pdf, f"Issued {_instant(statement)}", size=8)
    pdf.ln(4)


def _table(pdf: FPDF, paper: Paper) -> None:
    from fpdf.fonts import FontFace

    head = ["Client", "Model", "Requests", "Tokens in", "Tokens out", "Charged", "Corrected"]
    widths = [34, 40, 17, 22, 22, 26, 26]
    if paper.shows_margins:
        head, widths = [*head, "Cost", "Margin"], [27, 32, 14, 19, 19, 20, 20, 19, 19]
    pdf.set_font(_FAMILY, size=6 if paper.shows_margins else 7)
    align = ("LEFT", "LEFT", *["RIGHT"] * (len(head) - 2))
    bold = FontFace(emphasis="", fill_color=(235, 235, 235))
    with pdf.table(
        col_widths=tuple(widths), text_align=align, headings_style=bold, line_height=4.2,
        borders_layout="HORIZONTAL_LINES", padding=0.6,
    ) as table:  # fmt: skip
        table.row(head)
        places = places_of(n for line in paper.lines for n in _amounts(paper, line))
        for line in paper.lines:
            table.row([shown(pdf, cell) for cell in _cells(paper, line, places)])
        if not paper.lines:
            table.row(["No use.", *[""] * (len(head) - 1)])
    pdf.ln(3)


def _amounts(paper: Paper, line: StatementLine) -> list[int]:
    found = [line.charged_nano, line.adjusted_nano + line.credited_nano]
    if paper.shows_margins:
        found += [line.cost_nano, line.total_nano - line.cost_nano]
    return found


def _cells(paper: Paper, line: StatementLine, places: int) -> list[str]:
    amounts = [money(nano, places) for nano in _amounts(paper, line)]
    if not line.adjusted_nano + line.credited_nano:
        amounts[1] = "–"
    return [
        line.client_name,
        line.model or "–",
        f"{line.requests:,}",
        f"{line.input_tokens:,}",
        f"{line.output_tokens:,}",
        *amounts,
    ]


def _sums(pdf: FPDF, paper: Paper) -> None:
    statement = paper.statement
    rows = [
        ("Charged in the month", statement.charged_nano),
        ("Adjustments of the month", statement.adjusted_nano),
    ]
    rows += [(f"Credit note {note.reference}", note.total_nano) for note in paper.notes]
    if statement.kind == Statement.Kind.CREDIT_NOTE:
        rows = [("Corrections", statement.credited_nano)]
    total, cost = statement.total_nano, statement.cost_nano
    shown_nanos = [nano for _, nano in rows] + [total]
    places = places_of([*shown_nanos, *([cost, total - cost] if paper.shows_margins else [])])
    for name, nano in rows:
        _sum(pdf, name, money(nano, places))
    _sum(pdf, "Total in USD", money(total, places), size=10)
    if paper.shows_margins:
        _sum(pdf, "Cost", money(cost, places))
        _sum(pdf, "Margin", money(total - cost, places))
    if statement.rate is not None and statement.rate_day is not None:
        rate = f"{statement.rate.normalize():f}"
        _sum(
            pdf,
            f"1 {statement.currency} = {rate} USD on {statement.rate_day:%Y-%m-%d}: total in "
            f"{statement.currency}",
            money(statement.total_currency_nano, places),
            size=10,
        )


def _notes(pdf: FPDF, paper: Paper) -> None:
    pdf.ln(4)
    _line(pdf, "Amounts in USD unless another currency is named. Minus: in your favour.", size=7)
    if paper.shows_margins:
        _line(pdf, "With cost and margin: not for the team.", size=7)
    if getattr(pdf, "hides_letters", False):
        _line(pdf, _NOTE, size=7)


def _line(pdf: FPDF, text: str, *, size: int, high: float = 5) -> None:
    pdf.set_font(_FAMILY, size=size)
    pdf.multi_cell(0, high, shown(pdf, text), new_x="LMARGIN", new_y="NEXT", align="L")


def _sum(pdf: FPDF, name: str, amount: str, *, size: int = 8) -> None:
    pdf.set_font(_FAMILY, size=size)
    pdf.cell(140, 5.5, shown(pdf, name), align="R")
    pdf.cell(0, 5.5, amount, align="R", new_x="LMARGIN", new_y="NEXT")


def shown(pdf: Any, text: str) -> str:
    """The text in letters that the font has."""
    known = _letters()
    if all(ord(letter) in known for letter in text):
        return text
    pdf.hides_letters = True
    return "".join(letter if ord(letter) in known else f"[U+{ord(letter):04X}]" for letter in text)


@cache
def _letters() -> frozenset[int]:
    from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return frozenset(TTFont(_FONT, lazy=True).getBestCmap())


def places_of(nanos: Iterable[int]) -> int:
    """Cents, and where an amount is below a dollar as many as it needs to say something: the same
    in all of them, so that their points stand below each other and they add up."""
    return 6 if any(0 < abs(nano) < NANO_PER_USD for nano in nanos) else 2


def money(nano: int, places: int) -> str:
    value = usd_from_nano(nano)
    rounded = value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    return f"{rounded:,.{places}f}"


def _plain(nano: int) -> str:
    return f"{usd_from_nano(nano):.9f}"


def _days(statement: Statement) -> tuple[str, str]:
    zone = ZoneInfo(statement.time_zone)
    last = statement.ends_at - timedelta(microseconds=1)
    return _day(statement.starts_at, zone), _day(last, zone)


def _day(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).strftime("%Y-%m-%d")


def _instant(statement: Statement) -> str:
    at = statement.issued_at.astimezone(ZoneInfo(statement.time_zone))
    return at.strftime("%Y-%m-%d %H:%M %Z")
