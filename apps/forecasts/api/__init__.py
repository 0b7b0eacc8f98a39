"""The REST API of what is to come."""
