"""Users, teams, clients and keys."""
