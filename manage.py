#!/usr/bin/env python3
"""The command line of ChatVault; `manage.py help` lists what it can do."""

import os
import sys
from importlib.util import find_spec


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - somebody may still call it with an older one
        sys.exit("ChatVault needs Python 3.11 or newer: run it with a newer `python3`.")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatvault.settings")
    if find_spec("django") is None:
        sys.exit("chatvault: run it with the Python that `make run` set up: .venv/bin/python")
    from chatvault.refusal import told_in_a_sentence

    with told_in_a_sentence():
        if sys.argv[1:2] in (["serve"], ["prepare"]):  # refuses before the heavy imports
            from chatvault.supervisor import main as supervisor

            run = supervisor.serve if sys.argv[1] == "serve" else supervisor.prepare
            sys.exit(run(sys.argv[2:]))
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
