"""What invoicing refuses. Texts are for people; nothing is changed when one is raised."""

from __future__ import annotations

from chatvault.lib.errors import Conflict, InvalidField


class InvoicingError(Conflict):
    """What was asked for does not go with what there is."""

    code = "conflict"


class NoRate(InvalidField):
    """There is no exchange rate that is near enough."""


class NotABill(InvalidField):
    """The file cannot be taken."""
