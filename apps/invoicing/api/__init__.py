"""The part of invoicing in the REST API."""
