"""Who holds a JWT, whoever issued it. Loads what signs and checks tokens when first asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from apps.accounts import bearers
from apps.accounts.credentials import KeyRecord, Question


def register() -> None:
    bearers.register("jwt", _find)
    bearers.register("jwt-unseen", _find_unseen)


def _find(questions: Sequence[Question]) -> Mapping[str, KeyRecord]:
    from apps.accounts import jwt_sessions, outside_issuers

    found = dict(jwt_sessions.find_sessions(questions))
    if len(found) < len(questions):
        found.update(outside_issuers.find_outside(questions))
    return found


def _find_unseen(questions: Sequence[Question]) -> Mapping[str, KeyRecord]:
    from apps.accounts import outside_issuers

    seen = []
    for one in questions:
        claims = outside_issuers.verify_unseen(one.unseen)
        if claims is not None:
            seen.append(Question(one.digest, "jwt", claims=claims))
    return _find(seen) if seen else {}
