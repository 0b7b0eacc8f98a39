"""`make compose-rehearsal`: starts what compose.yaml says as plain processes of this machine.

Environment, commands, roles, secrets, users of PostgreSQL and Redis, nginx: all are read from
deploy/compose. Only names become addresses, and each service gets a port of its own. Then clients
come through TLS: chats, streams, the admin; every health check is asked; a gateway is stopped under
traffic. Exits 1 when something is not as it must be.
"""

import sys
import tempfile
from pathlib import Path

from tests.rehearsal.questions import questions
from tests.rehearsal.stack import Stack


def main() -> int:
    wrong = []
    with tempfile.TemporaryDirectory(prefix="cv-compose-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL and nginx run as users of their own
        with Stack(folder) as stack:
            for question in questions(stack):
                told = f"{question.name}: {question.answer}"
                print(
                    f"compose-rehearsal: {'ok' if question.holds else 'WRONG'}: {told}", flush=True
                )
                wrong += [] if question.holds else [told]
    print(f"compose-rehearsal: {'all as it must be' if not wrong else f'{len(wrong)} wrong'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
