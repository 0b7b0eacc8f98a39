"""What OAuth adds to `/api/v1/`."""
