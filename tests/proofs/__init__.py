"""Proofs of promises on real processes: `make proofs` has them whole, `make test-long` in short."""
