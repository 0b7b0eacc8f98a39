"""The admin's pages of usage; all of them are read, none is written."""

from apps.usage.admin.journal import JournalAdmin
from apps.usage.admin.request_log import RequestLogAdmin

__all__ = ["JournalAdmin", "RequestLogAdmin"]
