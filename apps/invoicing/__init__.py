"""Providers' bills, statements of teams, and months that are closed."""
