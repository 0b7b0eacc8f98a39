"""Writes docs/roles.md: the table of capabilities as it is in the code."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from apps.accounts.roles import (  # noqa: E402
    CAPABILITIES,
    MEANINGS,
    OF_INSTALLATION,
    ROLE_NAMES,
    ROLES_IN_WORDS,
    Capability,
    Role,
)

_BEFORE = """# Roles: who may do what

A person has one role in a team, and any number of roles in the whole installation. Who has any role
may enter the admin, and finds there what the roles give: people of a team see the rows of their
teams, in lists, choices, filters, reports and on the home page. Another team's row answers 404, as
one that never was.

"""

_GIVING = """
## Giving roles

- **In a team**: *Teams*, the team, *Members*. A team admin names people by their exact user name or
  e-mail address, and gives roles that allow no more than the own one. A person has one role in a
  team: the role *owner* holds all that the others do.
- **In the installation**: *People*, the person. Owners of the installation do this, and only they
  make other owners. The first one comes from the first run or `manage.py createsuperuser`. The last
  active owner cannot be disabled, deleted or made something less.
- *People*, the person, *What they may do* says what somebody may do, where, and by which role.
  *People*, *What roles allow* is the table below.

A change holds at once: tokens and keys of the person are asked about anew by every process within a
second, and it is in the audit trail.

Team admins give their clients the models that the team's clients have already; the tier, and
whether a client may use every model, are set by who may change money or clients everywhere. A
quota or budget on the team itself is set from above it. Nobody closes or renames the own team.

Django's groups and permissions decide nothing, and neither does *staff*.

## The table

What is marked ¹ concerns no team: a role in a team does not give it. The names in the first column
are also the scopes of keys, OAuth applications and tokens, as far as machines may have them.

"""

_AFTER = """
## A second wall

With PostgreSQL and `CHATVAULT_DATABASE_ROW_SECURITY=true` a request of somebody with roles in teams
alone runs in a transaction in which the rows of other teams do not exist; see
[PostgreSQL](postgresql.md). It costs four short statements, 0.2 ms on one machine.

`tests/matrix/expected.csv` has the answer to every route, asked by everybody, for an own row, a
foreign one and none; `make matrix` asks it all again.

This page is written by `make docs`; a test holds it to the code.
"""


def roles_page() -> str:
    words = [f"- **{ROLE_NAMES[role]}**: {ROLES_IN_WORDS[role]}" for role in Role]
    head = ["| Capability | Meaning |", "|---|---|"]
    for role in Role:
        head[0] += f" {ROLE_NAMES[role]} |"
        head[1] += ":-:|"
    rows = [
        f"| `{each.value}`{'¹' if each in OF_INSTALLATION else ''} | {MEANINGS[each]} | "
        + " | ".join("✓" if each in CAPABILITIES[role] else "" for role in Role)
        + " |"
        for each in Capability
    ]
    table = "\n".join([*head, *rows]) + "\n"
    return _BEFORE + "\n".join(words) + "\n" + _GIVING + table + _AFTER


def main() -> None:
    (ROOT / "docs/roles.md").write_text(roles_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
