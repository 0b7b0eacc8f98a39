from .bills import Bill, BillFile, BillLine, BillMatch, MatchRule
from .booking import BillAdjustment, BillAdjustmentLine
from .closing import MonthClose
from .rates import ExchangeRate
from .statements import CreditedEntry, Statement, StatementFile, StatementLine

__all__ = [
    "Bill",
    "BillAdjustment",
    "BillAdjustmentLine",
    "BillFile",
    "BillLine",
    "BillMatch",
    "CreditedEntry",
    "ExchangeRate",
    "MatchRule",
    "MonthClose",
    "Statement",
    "StatementFile",
    "StatementLine",
]
