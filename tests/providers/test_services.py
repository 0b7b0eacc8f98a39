from __future__ import annotations

import base64
from typing import Any

import pytest

from apps.providers import probe, services
from apps.providers.adapters.contract import Endpoint
from apps.providers.errors import SecretRefused, SecretUnavailable
from apps.providers.models import Credential, Deployment
from apps.providers.secrets import Vault
from chatvault.lib.redact import Secret
from tests.factories import make_credential, make_deployment, make_provider

CANARY = "sk-canary-77a0c3be41"


@pytest.mark.django_db
class TestSecrets:
    def test_a_plain_secret_is_sealed_for_its_origin(self):
        credential = make_credential(secret=f" {CANARY}\n")
        credential.refresh_from_db()
        assert credential.secret.startswith("cv1:t1:")
        assert credential.origin == "https://provider.example:443"
        assert services.open_credential(credential).reveal() == CANARY
        assert CANARY not in str(Credential.objects.values().get())

    def test_a_reference_is_kept_and_bound_to_its_origin(self, monkeypatch):
        monkeypatch.setenv("SOME_KEY", CANARY)
        credential = make_credential(secret="env:SOME_KEY")
        assert credential.secret == "env:SOME_KEY"
        assert services.open_credential(credential).reveal() == CANARY

    @pytest.mark.parametrize("secret", [CANARY, "env:SOME_KEY"])
    @pytest.mark.parametrize(
        "base_url",
        [
            "https://evil.example/v1",
            "http://provider.example/v1",
            "https://provider.example:444/v1",
            "https://provider.example.evil.example/v1",
        ],
    )
    def test_a_secret_goes_nowhere_else(self, monkeypatch, secret, base_url):
        monkeypatch.setenv("SOME_KEY", CANARY)
        credential = make_credential(secret=secret)
        provider = credential.provider
        provider.base_url = base_url
        provider.save()
        with pytest.raises(SecretUnavailable):
            services.open_credential(Credential.objects.get())
        assert services.wipe_moved_secrets(provider=provider) == [credential]
        credential.refresh_from_db()
        assert credential.secret == ""
        provider.base_url = "https://provider.example/v1"
        provider.save()
        with pytest.raises(SecretUnavailable):
            services.open_credential(Credential.objects.get())

    def test_another_path_keeps_the_secret(self):
        credential = make_credential(secret=CANARY)
        credential.provider.base_url = "https://PROVIDER.example:443/other"
        credential.provider.save()
        assert services.wipe_moved_secrets(provider=credential.provider) == []
        assert services.open_credential(credential).reveal() == CANARY

    def test_a_secret_entered_with_the_move_stays(self):
        credential = make_credential(secret="sk-the-old-one")
        other = make_credential(provider=credential.provider, secret="sk-another")
        provider = credential.provider
        provider.base_url = "https://new.example/v1"
        provider.save()
        services.set_credential_secret(credential=credential, secret=CANARY)
        assert services.wipe_moved_secrets(provider=provider) == [other]
        assert services.open_credential(credential).reveal() == CANARY

    def test_a_family_change_without_an_address_moves_too(self):
        provider = make_provider(family="openai", base_url="", options={"vendor": "openai"})
        credential = make_credential(provider=provider, secret=CANARY)
        for change in (
            {"options": {"vendor": "groq"}},
            {"options": {"litellm_provider": "cohere"}},
            {"options": {"vendor": "openai", "params": {"region": "x"}}},
            {"family": "litellm"},
        ):
            for name, value in change.items():
                setattr(provider, name, value)
            with pytest.raises(SecretUnavailable):
                services.open_credential(credential)

    def test_a_sealed_text_of_another_row_stays_shut(self):
        one = make_credential(secret=CANARY)
        two = make_credential(provider=one.provider, secret="sk-two")
        two.secret = one.secret
        two.save()
        with pytest.raises(SecretUnavailable, match="does not belong here"):
            services.open_credential(two)

    @pytest.mark.parametrize(
        "secret",
        ["", "  ", "cv1:t1:AAAA", "sealed:abc", "a\nb", "x" * 20_000, "env:", "env:DATABASE_URL"],
    )
    def test_what_is_no_secret_is_refused_and_nothing_stored(self, secret):
        credential = make_credential(secret=CANARY)
        before = Credential.objects.values().get()
        with pytest.raises(SecretRefused) as caught:
            services.set_credential_secret(credential=credential, secret=secret)
        assert "x" * 30 not in str(caught.value)
        assert Credential.objects.values().get() == before

    def test_resealing_uses_the_first_key_of_the_ring(self, monkeypatch):
        credential = make_credential(secret=CANARY)
        make_credential(secret="env:SOME_KEY")
        assert services.reseal_secrets() == 0
        ring = ",".join(
            f"{name}:{base64.b64encode(key * 32).decode()}"
            for name, key in (("n", b"n"), ("t1", b"v"))
        )
        rotated = Vault(Secret(ring))
        monkeypatch.setattr(services, "vault", lambda: rotated)
        assert services.reseal_secrets() == 1
        credential.refresh_from_db()
        assert credential.secret.startswith("cv1:n:")
        assert services.open_credential(credential).reveal() == CANARY


def endpoint_of(upstream: Any, family: str, *, model: str = "gpt-4o-mini") -> Endpoint:
    return Endpoint(
        family=family,
        base_url=getattr(upstream, f"{family}_url").rstrip("/"),
        model=model,
        secret=Secret(CANARY),
    )


NETWORK = probe.Network(private_hosts=("127.0.0.1",))


@pytest.mark.parametrize("family", ["openai", "anthropic", "gemini"])
async def test_a_working_provider_lists_its_models(upstream, family):
    finding = await probe.list_models(endpoint_of(upstream, family), NETWORK)
    assert finding.is_ok, finding
    assert finding.models > 0
    assert finding.message == (
        f"It answered in {finding.latency_ms} ms and lists {finding.models} models."
    )
    assert upstream.last.method == "GET"
    assert upstream.last.saw_secret(CANARY)


@pytest.mark.parametrize("family", ["openai", "anthropic", "gemini"])
async def test_a_working_model_answers(upstream, family):
    finding = await probe.call_model(endpoint_of(upstream, family), NETWORK)
    assert finding.is_ok, finding
    assert finding.message == f"gpt-4o-mini answered in {finding.latency_ms} ms."
    assert upstream.last.tokens <= probe.MAX_OUTPUT_TOKENS


async def test_an_embedding_model_is_asked_for_an_embedding(upstream):
    endpoint = endpoint_of(upstream, "openai", model="text-embedding-3-small")
    assert (await probe.call_model(endpoint, NETWORK)).is_ok
    assert upstream.last.path.endswith("/embeddings")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("401", "Enter the secret again"),
        ("404", "Check the model's name"),
        ("429", "try again later"),
        ("500", "Its status was 500"),
        ("html-200", "Check that the base URL is that of the API"),
        ("400-canary", "Its status was 400"),
        ("redirect", "status was 307"),
    ],
)
async def test_what_failed_is_told_with_a_way_to_mend_it(upstream, fault, told):
    endpoint = endpoint_of(upstream, "openai", model=f"fault:{fault}")
    finding = await probe.call_model(endpoint, NETWORK)
    assert not finding.is_ok
    assert told in finding.message
    assert CANARY not in repr(finding)
    assert "CANARY" not in finding.message


async def test_nothing_is_sent_to_an_address_that_is_not_listed(upstream):
    for ask in (probe.list_models, probe.call_model):
        finding = await ask(endpoint_of(upstream, "openai"), probe.Network())
        assert not finding.is_ok
        assert finding.message.endswith("Nothing was sent.")
    assert upstream.seen == []


async def test_nobody_there():
    endpoint = Endpoint(family="openai", base_url="http://127.0.0.1:9/v1", model="m")
    finding = await probe.call_model(endpoint, NETWORK)
    assert "Check the base URL, that the server runs" in finding.message


async def test_the_demo_needs_no_network():
    endpoint = Endpoint(family="demo", base_url="", model="demo")
    assert (await probe.call_model(endpoint, probe.Network())).is_ok
    assert not (await probe.list_models(endpoint, probe.Network())).is_ok


@pytest.mark.django_db
class TestConnection:
    @pytest.fixture(autouse=True)
    def on_loopback(self, monkeypatch):
        monkeypatch.setattr(services, "network", lambda: NETWORK)

    def test_a_saved_credential_and_deployment(self, upstream):
        provider = make_provider(base_url=upstream.openai_url)
        credential = make_credential(provider=provider, secret=CANARY)
        deployment = make_deployment(provider=provider, credential=credential)
        assert "lists" in services.test_connection(credential).message
        assert services.test_connection(deployment).is_ok

    def test_a_moved_provider_gets_no_secret(self, upstream):
        provider = make_provider()
        credential = make_credential(provider=provider, secret=CANARY)
        deployment = make_deployment(provider=provider, credential=credential)
        provider.base_url = upstream.openai_url
        provider.save()
        for subject in (Credential.objects.get(), Deployment.objects.get(pk=deployment.pk)):
            finding = services.test_connection(subject)
            assert not finding.is_ok
            assert "Enter the secret again" in finding.message
        assert upstream.seen == []

    def test_a_missing_variable_is_named(self):
        credential = make_credential(secret="env:NOT_SET_ANYWHERE")
        finding = services.test_connection(credential)
        assert finding.message.startswith("NOT_SET_ANYWHERE is not set.")

    def test_a_credential_of_a_family_without_a_list(self):
        provider = make_provider(family="demo")
        credential = make_credential(provider=provider)
        assert "add a deployment" in services.test_connection(credential).message
        make_deployment(provider=provider, credential=credential, model="demo")
        assert services.test_connection(credential).is_ok

    def test_an_unknown_family_is_told(self):
        credential = make_credential(provider=make_provider(family="nope", base_url=""))
        assert "no provider family 'nope'" in services.test_connection(credential).message


@pytest.mark.django_db
def test_the_command_seals_anew_and_says_so(monkeypatch):
    from io import StringIO

    from django.core.management import call_command

    credential = make_credential(secret=CANARY)
    before = credential.secret
    keys = {"n": b"n" * 32, "t1": b"v" * 32}
    ring = ",".join(f"{name}:{base64.b64encode(key).decode()}" for name, key in keys.items())
    rotated = Vault(Secret(ring))
    monkeypatch.setattr(services, "vault", lambda: rotated)
    out = StringIO()
    call_command("reseal_secrets", stdout=out)
    assert out.getvalue() == "Secrets sealed with the first key of the ring: 1.\n"
    credential.refresh_from_db()
    assert credential.secret != before
    assert services.open_credential(credential).reveal() == CANARY


@pytest.mark.django_db
def test_the_command_changes_nothing_when_a_key_is_missing(monkeypatch):
    from django.core.management import CommandError, call_command

    make_credential(secret=CANARY)
    before = list(Credential.objects.values())
    lost = Vault(Secret(f"n:{base64.b64encode(b'n' * 32).decode()}"))
    monkeypatch.setattr(services, "vault", lambda: lost)
    with pytest.raises(CommandError, match="'t1', which is not in the ring"):
        call_command("reseal_secrets")
    assert list(Credential.objects.values()) == before
