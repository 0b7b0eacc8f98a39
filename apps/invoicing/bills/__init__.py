"""Reading a provider's bill: bytes in, lines out. Pure functions, one file a format.

`read(format, data, options)` gives every line of the file as a `Line`, or as a `Fault` that names
it and what is wrong. Raises Unreadable when the file as a whole is not such a bill.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from apps.invoicing.bills import anthropic, aws_cur, azure, generic, openai
from apps.invoicing.bills.lines import Fault, Line, Options, Unreadable

__all__ = ["FORMATS", "Fault", "Line", "Options", "Unreadable", "read"]

Reader = Callable[[bytes, Options], Iterator[Line | Fault]]
FORMATS: Final[dict[str, tuple[str, Reader]]] = {
    "openai": ("OpenAI: organization costs (API JSON or CSV)", openai.read),
    "anthropic": ("Anthropic: cost report (API JSON or CSV)", anthropic.read),
    "aws_cur": ("AWS: Cost and Usage Report (CSV, gzip or Parquet)", aws_cur.read),
    "azure": ("Azure: cost export (CSV or gzip)", azure.read),
    "generic": ("Another CSV, with a mapping of its columns", generic.read),
}


def read(form: str, data: bytes, options: Options) -> Iterator[Line | Fault]:
    """Raises KeyError for a format that there is not, Unreadable while it is read."""
    _, reader = FORMATS[form]
    return reader(data, options)
