"""Pages of people, teams, clients and keys."""

from . import clients, keys, teams, users

__all__ = ["clients", "keys", "teams", "users"]
