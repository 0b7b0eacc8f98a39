"""What usage adds to `/api/v1/`."""
