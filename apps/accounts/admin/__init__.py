"""Pages of people, teams, clients and keys."""

from . import clients, keys, teams, tokens, users

__all__ = ["clients", "keys", "teams", "tokens", "users"]
