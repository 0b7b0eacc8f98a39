"""Proofs on PostgreSQL that take minutes: `make proofs-postgresql`."""
