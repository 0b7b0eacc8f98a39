"""What invoicing refuses, by the names that it has here. Texts are for people; nothing is changed
when one is raised."""

from __future__ import annotations

from chatvault.lib.errors import Conflict, InvalidField

InvoicingError = Conflict
"""What was asked for does not go with what there is."""

NoRate = InvalidField
"""There is no exchange rate that is near enough."""

NotABill = InvalidField
"""The file cannot be taken."""
