"""Limits of many gateway processes, kept in Redis or Valkey: see README.md."""
