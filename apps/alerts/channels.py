"""Making and changing channels: checked, sealed, on the audit trail without what is secret."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from apps.alerts import delivery, secrets, topics
from apps.alerts.errors import ChannelRefused, SendFailed
from apps.alerts.models import Alert, Channel, Delivery
from apps.alerts.secrets import Sealed
from apps.alerts.senders import chat
from apps.audit import trail
from apps.providers.errors import VaultKeysInvalid
from chatvault.lib import clock
from chatvault.lib.errors import UpstreamForbidden
from chatvault.lib.http_guard import DEFAULT_PORTS, AddressGuard, Target, parse_target

MOST_MAILBOXES: Final = 20
LEAST_SECRET: Final = 16
_TOLD: Final = ("name", "kind", "recipients", "address", "topics", "is_active")
Kind = Channel.Kind


def prepare(channel: Channel, *, secret_url: str = "", signing_secret: str = "") -> None:
    """Check what was entered and put it onto the row, sealed; an empty text keeps what there is.

    Raises ChannelRefused; nothing is saved here.
    """
    _check_topics(channel.topics)
    if channel.kind == Kind.EMAIL:
        if secret_url or signing_secret:
            raise ChannelRefused("secret_url", "Mail has mailboxes: leave this empty.")
        _check_mailboxes(channel)
        channel.sealed = channel.address = ""
        return
    channel.recipients = ""
    kept = _kept(channel)
    url = secret_url.strip() or kept.url
    signing = signing_secret.strip() or kept.signing
    if not url:
        raise ChannelRefused("secret_url", "Enter the address that alerts are sent to.")
    if channel.kind == Kind.WEBHOOK:
        channel.address = check_webhook(url)
        if len(signing) < LEAST_SECRET:
            raise ChannelRefused(
                "signing_secret",
                f"Enter a secret of at least {LEAST_SECRET} characters, such as the output of "
                "`openssl rand -hex 32`: without it anybody could send such alerts.",
            )
    else:
        signing = ""
        channel.address = chat.check(url)
    if kept != (content := Sealed(url, signing)) or not channel.sealed:
        try:
            channel.sealed = secrets.seal(channel, content)
        except VaultKeysInvalid as problem:
            raise ChannelRefused("secret_url", f"{problem.reason} {problem.hint}") from None


@transaction.atomic
def save(channel: Channel, *, entered: Iterable[str] = ()) -> bool:
    """What `prepare` has made ready; `entered` names what was given anew and is secret. Whether
    there was anything to save."""
    before = Channel.objects.select_related("team").filter(pk=channel.pk).first()
    old, new = _fields(before), _fields(channel)
    differs = [name for name in new if old.get(name) != new[name]]
    after = {name: new[name] for name in differs} | dict.fromkeys(entered, "entered anew")
    if not after:
        return False
    channel.save()
    trail.record(
        "channel.changed" if before else "channel.added",
        target=channel,
        before={name: old[name] for name in differs if name in old},
        after=after,
        team_id=channel.team_id,
    )
    return True


@transaction.atomic
def delete(*, channel: Channel) -> None:
    """Its deliveries go with it; alerts stay."""
    trail.record(
        "channel.deleted", target=channel, before=_fields(channel), team_id=channel.team_id
    )
    channel.delete()


def test(*, channel: Channel, by: str) -> Delivery:
    """Send a test alert now, whether the channel is active or not, and tell how it went. It is
    not tried again."""
    now = clock.now()
    with transaction.atomic():
        alert = Alert.objects.create(
            topic=topics.TEST,
            key=f"channel:{channel.public_id}:{now.timestamp()}",
            title=f"Test of the channel {channel.name}",
            text=f"{by} asked for it. Nothing has happened; alerts will look like this one.",
            team_id=channel.team_id,
            team_name=channel.team.name if channel.team else "",
            facts={"channel": channel.name},
            link="/admin/alerts/channel/",
            at=now,
            last_at=now,
            is_current=False,
        )
        row = Delivery.objects.create(
            alert=alert,
            channel=channel,
            state=Delivery.State.SENDING,
            attempts=1,
            next_at=now + delivery.LEASE,
        )
    tried = delivery.perform(row, is_test=True) or Delivery.objects.get(pk=row.pk)
    # afterwards: whoever writes the trail is alone with it until the transaction ends
    trail.record(
        "channel.tested", target=channel, after={"result": tried.state}, team_id=channel.team_id
    )
    return tried


def check_webhook(url: str) -> str:
    """The origin of a webhook's address, which may be shown. Raises ChannelRefused."""
    guard = AddressGuard(settings.CHATVAULT.alerts.private_hosts)
    try:
        target = parse_target(url)
        is_listed = guard.is_listed(target.host, target.port)
        if target.scheme != "https" and not is_listed:
            raise ChannelRefused(
                "secret_url",
                "It must be https. Plain http goes only to hosts that the operator lists in "
                "CHATVAULT_ALERTS_PRIVATE_HOSTS.",
            )
        if not is_listed and target.port != DEFAULT_PORTS[target.scheme]:
            raise ChannelRefused(
                "secret_url",
                "Only port 443; the operator can list others in CHATVAULT_ALERTS_PRIVATE_HOSTS.",
            )
        if _is_literal(target):
            asyncio.run(guard.resolve(target.host, target.port, scheme=target.scheme))
    except UpstreamForbidden as refused:
        text = refused.message.replace("The provider", "The receiver")
        text = text.replace("CHATVAULT_PRIVATE_HOSTS", "CHATVAULT_ALERTS_PRIVATE_HOSTS")
        raise ChannelRefused("secret_url", text) from None
    return f"{target.scheme}://{target.authority}"


def _is_literal(target: Target) -> bool:
    return ":" in target.host or target.host.rpartition(".")[2].isdigit()


def _kept(channel: Channel) -> Sealed:
    """What is sealed now, if it is of the same kind and opens."""
    if not channel.sealed:
        return Sealed("")
    try:
        return secrets.reveal(channel)
    except SendFailed:
        return Sealed("")


def _check_mailboxes(channel: Channel) -> None:
    found = channel.mailboxes
    if not found:
        raise ChannelRefused("recipients", "Enter at least one mailbox, such as ops@example.org.")
    if len(found) > MOST_MAILBOXES:
        raise ChannelRefused(
            "recipients", f"At most {MOST_MAILBOXES} mailboxes: make a mailing list for more."
        )
    for one in found:
        try:
            validate_email(one)
        except ValidationError:
            raise ChannelRefused("recipients", f"{one[:80]!r} is not a mailbox.") from None
    channel.recipients = "\n".join(found)


def _check_topics(chosen: Iterable[Any]) -> None:
    known = {topic.name for topic in topics.registered()}
    for one in chosen:
        if one not in known:
            raise ChannelRefused("topics", f"There is no topic {str(one)[:64]!r}.")


def _fields(channel: Channel | None) -> dict[str, Any]:
    if channel is None:
        return {}
    team = {"team": channel.team.name if channel.team else ""}
    return {name: getattr(channel, name) for name in _TOLD} | team
