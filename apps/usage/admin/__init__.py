"""The admin's pages of usage; all of them are read. Of errors it is written who looked at them."""

from apps.usage.admin.errors import ErrorGroupAdmin
from apps.usage.admin.exports import UsageExportAdmin
from apps.usage.admin.journal import JournalAdmin
from apps.usage.admin.nodes import NodeAdmin
from apps.usage.admin.request_log import RequestLogAdmin
from apps.usage.admin.self_audit import LedgerCheckAdmin

__all__ = [
    "ErrorGroupAdmin",
    "JournalAdmin",
    "LedgerCheckAdmin",
    "NodeAdmin",
    "RequestLogAdmin",
    "UsageExportAdmin",
]
