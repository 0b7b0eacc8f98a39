"""What alerts add to `/api/v1/`."""
