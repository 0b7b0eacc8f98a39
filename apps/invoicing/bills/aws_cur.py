"""AWS: the Cost and Usage Report, as CSV (`lineItem/…`) or Parquet (`line_item_…`).

Only lines of Amazon Bedrock are read; the report holds every other service, too. Bedrock bills by
usage type ("USE1-Claude3Sonnet-input-tokens"), models of the marketplace by product name.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from apps.invoicing.bills import tables
from apps.invoicing.bills.lines import (
    Fault,
    Line,
    Options,
    Unreadable,
    amount_of,
    currency_of,
    day_of,
    model_of,
    quantity_of,
)

_PARQUET: Final = b"PAR1"
_DAY: Final = "lineitemusagestartdate"
_COST: Final = "lineitemunblendedcost"
_ASIDES: Final = {"tax": "tax", "credit": "credit", "refund": "refund", "fee": "fee"}
_REGION: Final = re.compile(r"^(MP:)?[A-Z]{2,4}\d{0,2}[-_]")
_TAIL: Final = re.compile(
    r"[-_ ](text[-_ ])?(input|output|cache|image|audio|batch|custom|provisioned|model).*$", re.I
)
_EDITION: Final = re.compile(r"\s*\(Amazon Bedrock Edition\)\s*$", re.I)
_AT_ONCE: Final = 10_000


def read(data: bytes, options: Options) -> Iterator[Line | Fault]:
    content = tables.unpacked(data, options)
    if content.startswith(_PARQUET):
        return tables.each(_of_parquet(content, options), partial(_row, options))
    text = tables.text_of(content)
    for needed in ("lineItem/UsageStartDate", "lineItem/UnblendedCost", "lineItem/UsageType"):
        tables.column(text, needed)
    return tables.each(tables.rows_of(text, options), partial(_row, options))


def _row(options: Options, number: int, row: tables.Row) -> Line | None:
    name = _product_name(row)
    about = (row.get("lineitemproductcode"), name, row.get("lineitemlineitemdescription"))
    if not any("bedrock" in str(each or "").lower() for each in about):
        return None
    kind = str(row.get("lineitemlineitemtype") or "").lower()
    return Line(
        number,
        day_of(row.get(_DAY), options.zone),
        model_of(_model(str(row.get("lineitemusagetype") or ""), name)),
        amount_of(row.get(_COST)),
        currency_of(row.get("lineitemcurrencycode"), options),
        quantity_of(row.get("lineitemusageamount")),
        aside=_ASIDES.get(kind, ""),
    )


def _product_name(row: tables.Row) -> str:
    product = row.get("product")
    if isinstance(product, list):  # a map column of Parquet
        product = dict(product)
    if isinstance(product, dict) and product.get("product_name"):
        return str(product["product_name"])
    return str(row.get("productproductname") or "")


def _model(usage_type: str, product_name: str) -> str:
    if _EDITION.search(product_name):
        return _EDITION.sub("", product_name)
    return _TAIL.sub("", _REGION.sub("", usage_type)) or usage_type


def _of_parquet(content: bytes, options: Options) -> Iterator[tuple[int, tables.Row]]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(content))
        names = {tables.plain(name): name for name in file.schema_arrow.names}
        _check(file.metadata, names, options)
        wanted = {
            plain: name
            for plain, name in names.items()
            if plain.startswith("lineitem") or plain in ("product", "productproductname")
        }
        number = 0
        for batch in file.iter_batches(batch_size=_AT_ONCE, columns=list(wanted.values())):
            columns = {plain: batch.column(name).to_pylist() for plain, name in wanted.items()}
            for position in range(batch.num_rows):
                number += 1
                yield number, {plain: cells[position] for plain, cells in columns.items()}
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise Unreadable(f"The Parquet file cannot be read: {str(error)[:100]}") from None


def _check(metadata: Any, names: dict[str, str], options: Options) -> None:
    for needed in (_DAY, _COST, "lineitemusagetype"):
        if needed not in names:
            raise Unreadable(f"The Parquet file has no column {needed}.")
    if metadata.num_rows > options.most_rows:
        raise Unreadable(f"The file has more than {options.most_rows:,} lines.")
    size = sum(metadata.row_group(n).total_byte_size for n in range(metadata.num_row_groups))
    if size > 16 * options.most_bytes:
        raise Unreadable(f"Unpacked, it is larger than {16 * options.most_bytes // 2**20} MiB.")
