"""The trail in the admin: read, searched and exported by those who may; changed by nobody."""

from . import events

__all__ = ["events"]
