"""How fast reports are on a large request log: `make bench-reports`."""
