"""What billing adds to `/api/v1/`."""
