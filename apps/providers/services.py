"""What is done to providers and their secrets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import transaction

from apps.audit import trail
from apps.providers import probe, secrets
from apps.providers.adapters.contract import Endpoint
from apps.providers.adapters.registry import UnknownFamily, get_adapter
from apps.providers.errors import SecretProblem, SecretRefused
from apps.providers.models import Credential, Deployment, Provider
from chatvault.lib.errors import BadRequest, UpstreamError, UpstreamForbidden
from chatvault.lib.redact import Secret
from chatvault.lib.references import check_reference, is_reference


def vault() -> secrets.Vault:
    """The vault of this installation. Raises VaultKeysInvalid for a malformed key ring."""
    return _vault(settings.CHATVAULT.vault.keys.get_secret_value(), settings.CHATVAULT.home)


@lru_cache(maxsize=2)
def _vault(keys: str, home: Path) -> secrets.Vault:
    return secrets.Vault(Secret(keys), home=home)


def origin_of(provider: Provider) -> str:
    """Where the provider's secrets may go. Raises UpstreamForbidden for a URL that is none."""
    return secrets.origin_of_provider(provider.base_url, provider.family, provider.options)


@transaction.atomic
def set_credential_secret(*, credential: Credential, secret: str) -> None:
    """Store a secret for the provider's present origin: a reference as it is, others sealed.

    Raises SecretRefused, VaultKeysInvalid or UpstreamForbidden; nothing is stored then.
    """
    text = secret.strip()
    check_secret(text)
    credential.origin = origin_of(credential.provider)
    if credential.pk is None:  # the seal names the row, so there has to be one
        credential.secret = ""
        credential.save()
    if is_reference(text):
        credential.secret = text
    else:
        context = secrets.credential_context(credential.pk, credential.origin)
        credential.secret = vault().seal(text, context)
    credential.save(update_fields=["secret", "origin"])
    trail.record(
        "credential.secret_set",
        target=credential,
        after={"secret": text if is_reference(text) else Secret(text), "for": credential.origin},
    )


def check_secret(text: str) -> None:
    """Raises SecretRefused for what cannot be stored as a secret or reference."""
    if is_reference(text):
        check_reference(text, home=settings.CHATVAULT.home)
    else:
        _check_plain(text)


def open_credential(credential: Credential) -> Secret:
    """The secret, for the provider's present origin alone.

    Raises SecretUnavailable, SecretRefused or VaultKeysInvalid.
    """
    return vault().open(
        stored_for(credential, origin_of(credential.provider)),
        secrets.credential_context(credential.pk, origin_of(credential.provider)),
    )


def secret_problem(credential: Credential) -> str:
    """Why the secret cannot be had in this process, such as "FAKE_KEY is not set"; else empty.
    Never the secret. Its provider is asked for, so lists select it with the credential."""
    if not credential.secret:
        return "enter it"
    try:
        open_credential(credential)
    except SecretProblem as problem:
        return problem.reason.removesuffix(".")
    except UpstreamForbidden:
        return "the provider's URL is none"
    return ""


def stored_for(credential: Credential, origin: str) -> str:
    """What is stored if it was given for `origin`, else nothing."""
    return credential.secret if credential.origin == origin else ""


@transaction.atomic
def wipe_moved_secrets(*, provider: Provider) -> list[Credential]:
    """Remove the secrets that were given for another origin than the provider's present one.

    Call it in the transaction that changed the provider, after the secrets that were entered
    anew. The credentials that lost theirs come back.
    """
    try:
        origin = origin_of(provider)
    except UpstreamForbidden:
        origin = ""
    moved = [c for c in provider.credentials.all() if c.secret and c.origin != origin]
    for credential in moved:
        credential.secret, credential.origin = "", origin
        credential.save(update_fields=["secret", "origin"])
        trail.record("credential.secret_wiped", target=credential, after={"for": origin})
    return moved


_others: Final[list[Callable[[], int]]] = []


def also_reseal(reseal: Callable[[], int]) -> None:
    """Apps above keep secrets in this vault, too: `reseal` seals theirs anew, and says how many."""
    if reseal not in _others:
        _others.append(reseal)


@transaction.atomic
def reseal_secrets() -> int:
    """Seal what an older key of the ring sealed with the first one. How many changed."""
    count = sum(reseal() for reseal in _others)
    for credential in Credential.objects.select_related("provider"):
        if vault().needs_resealing(credential.secret):
            context = secrets.credential_context(credential.pk, credential.origin)
            plain = vault().open(credential.secret, context).reveal()
            credential.secret = vault().seal(plain, context)
            credential.save(update_fields=["secret"])
            count += 1
    trail.record("vault.resealed", after={"secrets": count})
    return count


def _check_plain(text: str) -> None:
    if not text:
        raise SecretRefused("The secret is empty.", "Enter it, or give env:NAME or file:PATH.")
    if secrets.is_sealed(text) or text.startswith("sealed"):
        raise SecretRefused(
            "This is a sealed text, not a secret.", "Enter the secret as the provider shows it."
        )
    if len(text) > 16_384 or any(c < " " or c == "\x7f" for c in text):
        raise SecretRefused(
            "The secret has line breaks or control characters in it, or is too long.",
            "Enter one line of text; keep longer ones in a file and give file:PATH.",
        )


def test_connection(subject: Credential | Deployment) -> probe.Finding:
    """Send a small real request with a saved credential or deployment, whatever its state.

    A credential is tested by the provider's list of models or else by one of its deployments.
    Never raises for what is wrong with the provider.
    """
    try:
        if isinstance(subject, Deployment):
            return _test_deployment(subject)
        return _test_credential(subject)
    except SecretProblem as problem:
        return probe.Finding(False, f"{problem.reason} {problem.hint}")
    except (UpstreamError, BadRequest) as error:
        return probe.failure(error)
    except UnknownFamily as error:
        return probe.Finding(False, f"{error} Choose another family.")


def _test_deployment(deployment: Deployment) -> probe.Finding:
    return asyncio.run(probe.call_model(endpoint_of(deployment), network()))


def _test_credential(credential: Credential) -> probe.Finding:
    get_adapter(credential.provider.family)
    endpoint = _endpoint(credential.provider, "", open_credential(credential))
    if probe.models_request(endpoint) is not None:
        return asyncio.run(probe.list_models(endpoint, network()))
    deployment = credential.deployments.first()
    if deployment is None:
        return probe.Finding(
            False, "There is nothing to ask for yet: add a deployment and test that."
        )
    return _test_deployment(deployment)


def endpoint_of(deployment: Deployment) -> Endpoint:
    """Where the deployment's requests go. Raises SecretProblem, UpstreamForbidden."""
    credential = deployment.credential
    secret = open_credential(credential) if credential is not None else None
    return _endpoint(deployment.provider, deployment.model, secret)


def _endpoint(provider: Provider, model: str, secret: Secret | None) -> Endpoint:
    return Endpoint(
        family=provider.family,
        base_url=provider.base_url.rstrip("/"),
        model=model,
        secret=secret,
        options=provider.options,
    )


def network() -> probe.Network:
    """What probes may reach, and how."""
    upstream = settings.CHATVAULT.upstream
    return probe.Network(
        private_hosts=upstream.private_hosts,
        proxy=upstream.proxy.get_secret_value() or None,
        no_proxy=upstream.no_proxy,
    )
