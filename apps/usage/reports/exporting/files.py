"""Requests as the bytes of a file, piece by piece."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from django.db import connection

from apps.usage.reports.exporting import focus
from apps.usage.reports.exporting.columns import USAGE, Column, Kind, arrow_value, cell, json_value
from apps.usage.reports.exporting.slices import Slice, Wanted, copy_statement, rows_of, slices

BY_COPY: Final = 50_000
BY_ROWS: Final = 5_000
_SPECIAL: Final = frozenset(',"\r\n')


class Writer(Protocol):
    """Makes one file: `head`, the slices with `joint` between them, `tail`. `rows` counts."""

    rows: int
    joint: bytes

    def head(self) -> bytes: ...

    def part(self, one: Slice) -> bytes: ...

    def tail(self) -> bytes: ...


class CsvWriter:
    """By PostgreSQL itself where there is one."""

    joint = b""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self.rows = 0

    def head(self) -> bytes:
        return (",".join(column.name for column in self._columns) + "\n").encode()

    def part(self, one: Slice) -> bytes:
        if connection.vendor == "postgresql":
            text, count = _copied(one, self._columns)
            self.rows += count
            return text
        rows = rows_of(one, self._columns)
        self.rows += len(rows)
        return "".join(csv_line(row, self._columns) for row in rows).encode()

    def tail(self) -> bytes:
        return b""


class JsonWriter:
    """One array, a line for each request."""

    joint = b",\n"

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self.rows = 0

    def head(self) -> bytes:
        return b"[\n"

    def part(self, one: Slice) -> bytes:
        lines = [
            json.dumps(
                {each.name: json_value(each.value(row), each.kind) for each in self._columns},
                ensure_ascii=False,
            )
            for row in rows_of(one, self._columns)
        ]
        self.rows += len(lines)
        return ",\n".join(lines).encode()

    def tail(self) -> bytes:
        return b"\n]\n"


class ParquetWriter:
    """A row group for each slice; money is decimal(20, 9)."""

    joint = b""

    def __init__(self, columns: Sequence[Column]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._columns = columns
        self.rows = 0
        self._sink = _Sink()
        self._schema = pa.schema([(column.name, _arrow_type(column)) for column in columns])
        self._writer: Any = parquet.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"), self._schema, compression="zstd"
        )

    def head(self) -> bytes:
        return self._sink.take()

    def part(self, one: Slice) -> bytes:
        import pyarrow as pa

        rows = rows_of(one, self._columns)
        self.rows += len(rows)
        arrays = [
            pa.array(
                [arrow_value(column.value(row), column.kind) for row in rows],
                type=self._schema.field(number).type,
            )
            for number, column in enumerate(self._columns)
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        return self._sink.take()

    def tail(self) -> bytes:
        self._writer.close()
        return self._sink.take()


class _Sink:
    """Keeps what Parquet writes until somebody takes it."""

    closed = False

    def __init__(self) -> None:
        self._written = bytearray()
        self._count = 0

    def write(self, data: Any) -> int:
        self._written += data
        self._count += len(data)
        return len(data)

    def tell(self) -> int:
        return self._count

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def take(self) -> bytes:
        taken, self._written = bytes(self._written), bytearray()
        return taken


@dataclass(frozen=True)
class Format:
    """A kind of file that requests are exported as."""

    name: str
    title: str
    extension: str
    content_type: str
    make: Callable[[], Writer]
    most: int
    parts_are_files: bool = False
    """Whether parts cannot simply be put one after another."""

    @property
    def size(self) -> int:
        """Requests of a slice."""
        return self.most if connection.vendor == "postgresql" else BY_ROWS


FORMATS: Final[dict[str, Format]] = {
    each.name: each
    for each in (
        Format("csv", "CSV", "csv", "text/csv; charset=utf-8", lambda: CsvWriter(USAGE), BY_COPY),
        Format("json", "JSON", "json", "application/json", lambda: JsonWriter(USAGE), BY_ROWS),
        Format(
            *("parquet", "Parquet", "parquet", "application/vnd.apache.parquet"),
            lambda: ParquetWriter(USAGE),
            BY_ROWS,
            parts_are_files=True,
        ),
        Format(
            *("focus", f"FOCUS {focus.VERSION} (CSV)", "focus.csv", "text/csv; charset=utf-8"),
            lambda: CsvWriter(focus.COLUMNS),
            BY_COPY,
        ),
    )
}


def chunks(wanted: Wanted, form: Format) -> Iterator[bytes]:
    """The whole file."""
    writer = form.make()
    yield writer.head()
    yield from joined(writer, slices(wanted, form.size))
    yield writer.tail()


def joined(writer: Writer, found: Iterable[Slice]) -> Iterator[bytes]:
    """What is between head and tail."""
    for number, one in enumerate(found):
        if number and writer.joint:
            yield writer.joint
        yield writer.part(one)


def assemble(form: Format, parts: Sequence[Path], file: BinaryIO) -> None:
    """One file of the parts of an export, in their order."""
    if form.parts_are_files:
        _assemble_parquet(parts, file)
        return
    writer = form.make()
    file.write(writer.head())
    filled = [part for part in parts if part.stat().st_size]
    for number, part in enumerate(filled):
        if number:
            file.write(writer.joint)
        with part.open("rb") as source:
            shutil.copyfileobj(source, file, 1 << 20)
    file.write(writer.tail())


def _assemble_parquet(parts: Sequence[Path], file: BinaryIO) -> None:
    from pyarrow import parquet

    schema = parquet.read_schema(parts[0])
    with parquet.ParquetWriter(file, schema, compression="zstd") as whole:
        for part in parts:
            source = parquet.ParquetFile(part)
            for number in range(source.num_row_groups):
                whole.write_table(source.read_row_group(number))


def csv_line(row: dict[str, Any], columns: Iterable[Column]) -> str:
    """As PostgreSQL quotes."""
    cells = [cell(column.value(row), column.kind) for column in columns]
    return ",".join(map(_quoted, cells)) + "\n"


def _quoted(text: str) -> str:
    if _SPECIAL.isdisjoint(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def _copied(one: Slice, columns: Sequence[Column]) -> tuple[bytes, int]:
    statement = copy_statement(one, columns)
    with connection.cursor() as cursor:
        with cursor.copy(statement.text, statement.values) as copy:
            text = b"".join(map(bytes, copy))
        return text, cursor.rowcount


def _arrow_type(column: Column) -> Any:
    import pyarrow as pa

    types = {
        Kind.WHOLE: pa.int64(),
        Kind.FLAG: pa.bool_(),
        Kind.MONEY: pa.decimal128(20, 9),
        Kind.INSTANT: pa.timestamp("us", tz="UTC"),
    }
    return types.get(column.kind, pa.string())
