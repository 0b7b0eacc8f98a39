"""Why a repricing does not go on; the text tells how it would."""

from __future__ import annotations


class RepricingRefused(Exception):
    """Shown as it is to whoever asked."""
