"""Ranges of requests priced anew, as adjustments that can be undone."""
