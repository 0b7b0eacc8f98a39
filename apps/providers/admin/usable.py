"""Would a gateway use it? What is in the way is said, not left to be found out."""

from __future__ import annotations

from collections.abc import Sequence

from apps.providers import services
from apps.providers.models import Deployment, Target


def state_of(deployment: Deployment) -> tuple[str, str]:
    """A kind for a label (ready, off, blocked) and what is in the way, if anything is. Selects
    nothing where `provider` and `credential__provider` are selected with the row."""
    credential = deployment.credential
    if not deployment.is_active:
        return "off", "inactive"
    if not deployment.provider.is_active:
        return "off", "provider inactive"
    if credential is not None and not credential.is_active:
        return "off", "credential inactive"
    if credential is not None and (problem := services.secret_problem(credential)):
        return "blocked", f"secret missing: {problem}"
    return "ready", "active"


def why_none(targets: Sequence[Target]) -> str:
    """Why no target can serve a request; empty where one can."""
    if not targets:
        return "it has no targets"
    states = [(each.deployment, *state_of(each.deployment)) for each in targets]
    if any(kind == "ready" for _, kind, _ in states):
        return ""
    return "; ".join(f"{deployment}: {text}" for deployment, _, text in states)
