"""Prometheus' text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats)."""

from __future__ import annotations

from collections.abc import Iterable

from chatvault.lib.metrics.families import NANO, Family, Number, Rows, Values

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


def render(figures: Iterable[tuple[Family, Rows]]) -> bytes:
    lines: list[str] = []
    for family, rows in figures:
        if not rows:
            continue
        text = family.text.replace("\\", "\\\\").replace("\n", "\\n")
        lines.append(f"# HELP {family.name} {text}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for values, row in sorted(rows.items()):
            if family.kind == "histogram":
                lines += _buckets(family, values, row)
            else:
                number = _nano(row[0]) if family.is_nano else _text(row[0])
                lines.append(f"{family.name}{_labels(family.labels, values)} {number}")
    lines.append("")
    return "\n".join(lines).encode()


def _buckets(family: Family, values: Values, row: Iterable[Number]) -> Iterable[str]:
    *counts, total = row
    name, labels, cumulated = family.name, (*family.labels, "le"), 0.0
    for bound, count in zip((*map(_text, family.bounds), "+Inf"), counts, strict=True):
        cumulated += count
        yield f"{name}_bucket{_labels(labels, (*values, bound))} {_text(cumulated)}"
    own = _labels(family.labels, values)
    yield f"{name}_sum{own} {_nano(total) if family.is_nano else _text(total)}"
    yield f"{name}_count{own} {_text(cumulated)}"


def _labels(names: tuple[str, ...], values: Values) -> str:
    if not names:
        return ""
    pairs = ",".join(f'{n}="{_escaped(v)}"' for n, v in zip(names, values, strict=True))
    return f"{{{pairs}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _text(value: Number) -> str:
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN
        return "NaN" if value != value else ("+Inf" if value > 0 else "-Inf")  # noqa: PLR0124
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))


def _nano(value: Number) -> str:
    """Exact: a float would lose the last digits of large sums before Prometheus does."""
    whole, part = divmod(int(value), NANO)
    return f"{whole}.{part:09d}" if part else str(whole)
