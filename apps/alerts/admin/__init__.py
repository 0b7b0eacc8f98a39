"""Pages of channels, alerts and deliveries."""

from . import alerts, channels, deliveries

__all__ = ["alerts", "channels", "deliveries"]
