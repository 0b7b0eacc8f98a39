"""What became of the spans of this process, for Prometheus."""

from __future__ import annotations

from typing import Final

from chatvault.lib.metrics.families import Family, Figures
from chatvault.telemetry import setup

SPANS: Final = Family(
    "chatvault_telemetry_spans_total",
    "counter",
    "Spans that were sent to the collector, dropped because too many waited, or not taken by it.",
    ("outcome",),
)
FAMILIES: Final = (SPANS,)


def figures() -> Figures:
    """Nothing where traces are off."""
    exporter = setup.exporter()
    if exporter is not None:
        counts = exporter.counts
        yield (
            SPANS,
            {
                ("sent",): (counts.sent,),
                ("dropped",): (counts.dropped,),
                ("failed",): (counts.failed,),
            },
        )
