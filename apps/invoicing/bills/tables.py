"""Files as rows: text tables in any of their usual dresses, and JSON without surprises."""

from __future__ import annotations

import codecs
import csv
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from apps.invoicing.bills.lines import Fault, Line, Options, Unreadable, Wrong, shown

Row = Mapping[str, Any]
_BOMS: Final = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_GZIP: Final = b"\x1f\x8b"
_MOST_COLUMNS: Final = 1_000


def unpacked(data: bytes, options: Options) -> bytes:
    """The content of a gzip file, and what is none as it is. Raises Unreadable beyond bounds."""
    if len(data) > options.most_bytes:
        raise Unreadable(f"The file is larger than {options.most_bytes // 2**20} MiB.")
    if not data.startswith(_GZIP):
        return data
    unzip = zlib.decompressobj(wbits=31)
    most = 8 * options.most_bytes
    try:
        content = unzip.decompress(data, most)
    except zlib.error:
        raise Unreadable("The file begins like gzip and is broken.") from None
    if unzip.unconsumed_tail:
        raise Unreadable(f"Unpacked, the file is larger than {most // 2**20} MiB.")
    if not unzip.eof:
        raise Unreadable("The gzip file ends too early.")
    return content


def text_of(data: bytes) -> str:
    """UTF-8, or UTF-16 with its mark. Raises Unreadable."""
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8-sig")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unreadable(
            f"The file is not text in UTF-8: byte {error.start + 1} is none. Save it as UTF-8."
        ) from None
    if "\x00" in text:
        raise Unreadable("The file holds zero bytes: it is not a text.")
    if not text.strip():
        raise Unreadable("The file is empty.")
    return text


def is_json(data: bytes) -> bool:
    return data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


def plain(name: str) -> str:
    """A column's name without what vendors change about it: case, spaces, slashes, underscores."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def rows_of(text: str, options: Options) -> Iterator[tuple[int, Row]]:
    """The rows with their line numbers, cells by plain column name. Raises Unreadable."""
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [plain(name) for name in next(reader)]
        if len(names) > _MOST_COLUMNS:
            raise Unreadable(f"The file has more than {_MOST_COLUMNS} columns.")
        count = 0
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            count += 1
            if count > options.most_rows:
                raise Unreadable(f"The file has more than {options.most_rows:,} lines.")
            if len(cells) > len(names):
                yield reader.line_num, {"": "more cells than columns"}
            else:
                yield reader.line_num, dict(zip(names, cells, strict=False))
    except csv.Error as error:
        raise Unreadable(f"Line {reader.line_num} is no line of a table: {error}.") from None


def column(text: str, *wanted: str) -> str:
    """The first of these columns that the table has, as a plain name. Raises Unreadable."""
    head = text.split("\n", 1)[0]
    there = {plain(name) for part in head.split(";") for cell in part.split("\t")
             for name in cell.split(",")}  # fmt: skip
    found = next((plain(name) for name in wanted if plain(name) in there), None)
    if found is None:
        raise Unreadable(f"The table has no column {' or '.join(wanted)}.")
    return found


def each(
    rows: Iterator[tuple[int, Row]], take: Callable[[int, Row], Line | None]
) -> Iterator[Line | Fault]:
    """The lines that `take` makes of rows; what it cannot read is a fault of that line."""
    for number, row in rows:
        try:
            if row.get(""):
                raise Wrong("it has more cells than there are columns")
            line = take(number, row)
        except Wrong as wrong:
            yield Fault(number, str(wrong))
        else:
            if line is not None:
                yield line


def json_of(data: bytes) -> Any:
    """JSON with exact numbers; NaN and Infinity stay words that no amount takes. Raises
    Unreadable."""
    try:
        return json.loads(text_of(data), parse_float=Decimal, parse_constant=str)
    except json.JSONDecodeError as error:
        raise Unreadable(f"Line {error.lineno} is not JSON: {error.msg}.") from None
    except (RecursionError, ValueError):
        raise Unreadable(
            "The JSON is nested too deep or holds a number that is too long."
        ) from None


def buckets_of(content: Any, options: Options) -> Iterator[tuple[int, Row, Row]]:
    """Of an API's answer, or a list of its pages: each result with its number and its bucket."""
    count = 0
    for page in content if isinstance(content, list) else [content]:
        data = page.get("data") if isinstance(page, dict) else None
        if not isinstance(data, list):
            raise Unreadable("The JSON is no cost report: it has no list `data`.")
        for bucket in data:
            results = bucket.get("results", bucket.get("result")) if isinstance(bucket, dict) else 0
            if not isinstance(results, list):
                raise Unreadable(f"A bucket has no list `results`: {shown(bucket)}.")
            for result in results:
                count += 1
                if count > options.most_rows:
                    raise Unreadable(f"The report has more than {options.most_rows:,} results.")
                if not isinstance(result, dict):
                    raise Unreadable(f"Result {count} is no object.")
                yield count, bucket, result
        if isinstance(content, dict) and content.get("has_more"):
            raise Unreadable(
                "The report is one page of several (`has_more`): import a list of all its pages."
            )
