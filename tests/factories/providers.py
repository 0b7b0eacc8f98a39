from __future__ import annotations

from typing import Any

from apps.providers import services
from apps.providers.models import Alias, Credential, Deployment, Provider, Target
from tests.factories.numbers import unique


def make_provider(**fields: Any) -> Provider:
    """By default one of the family openai at an address that nobody has."""
    fields.setdefault("family", "openai")
    if fields["family"] == "openai":
        fields.setdefault("base_url", "https://provider.example/v1")
    return Provider.objects.create(**{"name": unique("provider")} | fields)


def make_credential(*, secret: str = "sk-of-a-provider", **fields: Any) -> Credential:
    """`secret` is sealed as the admin seals it, or a reference."""
    fields["provider"] = fields.get("provider") or make_provider()
    credential = Credential(**{"name": unique("credential")} | fields)
    services.set_credential_secret(credential=credential, secret=secret)
    return credential


def make_deployment(**fields: Any) -> Deployment:
    fields["provider"] = fields.get("provider") or make_provider()
    fields.setdefault("model", "gpt-4o-mini")
    return Deployment.objects.create(**{"name": unique("deployment")} | fields)


def make_alias(*, targets: Any = (), **fields: Any) -> Alias:
    """`targets` are deployments, or (deployment, weight) pairs, in their order."""
    alias = Alias.objects.create(**{"name": unique("alias")} | fields)
    for position, target in enumerate(targets):
        deployment, weight = target if isinstance(target, tuple) else (target, 1)
        Target.objects.create(alias=alias, deployment=deployment, weight=weight, position=position)
    return alias
