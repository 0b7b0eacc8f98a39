"""Proofs of promises on real processes: `make proofs` runs them at length, `make test` in short."""
