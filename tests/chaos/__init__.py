"""Faults on real servers and processes: `make chaos` breaks them, `make soak` wears them out."""
