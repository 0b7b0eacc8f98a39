from .alert import Alert, Delivery
from .channel import Channel
from .watch import BudgetWatch

__all__ = ["Alert", "BudgetWatch", "Channel", "Delivery"]
