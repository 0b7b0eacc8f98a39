"""What only PostgreSQL does. `make test-postgresql` runs this folder."""
