"""Names that people give to things, safe in documents, headers and metrics."""

from __future__ import annotations

from typing import Final

from django.core.validators import RegexValidator

NAME_PATTERN: Final = r"^[A-Za-z0-9](?:[A-Za-z0-9._:/@+ -]{0,98}[A-Za-z0-9])?\Z"

name_validator = RegexValidator(
    NAME_PATTERN,
    "Use letters, digits and . _ : / @ + - or spaces inside; begin and end with a letter or digit.",
)
