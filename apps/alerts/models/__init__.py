from .alert import Alert, Delivery
from .channel import Channel
from .watch import BudgetLines, BudgetWatch

__all__ = ["Alert", "BudgetLines", "BudgetWatch", "Channel", "Delivery"]
