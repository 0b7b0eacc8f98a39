"""Revisions of the whole configuration: documents, diff and announcements."""
