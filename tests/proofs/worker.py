"""`python -m tests.proofs.worker work|keep_time`: a worker or a beat without a supervisor that
would start it again."""

import sys

import django

django.setup()

from chatvault import worker  # noqa: E402

if __name__ == "__main__":
    sys.exit(getattr(worker, sys.argv[1])(lambda: print("ready", flush=True)))
