"""How an alert reaches each kind of channel. A sender returns when the receiver has taken it, and
raises SendFailed for anything else."""

from __future__ import annotations

from apps.alerts.models import Channel, Delivery


def send(delivery: Delivery) -> None:
    """Raises SendFailed."""
    from apps.alerts.senders import chat, mail, webhook

    kind = Channel.Kind(delivery.channel.kind)
    if kind is Channel.Kind.EMAIL:
        mail.send(delivery)
    elif kind is Channel.Kind.WEBHOOK:
        webhook.send(delivery)
    else:
        chat.send(delivery)
