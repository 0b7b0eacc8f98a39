"""By mail: plain text with a small HTML part, one message to all mailboxes of the channel."""

from __future__ import annotations

import smtplib

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from apps.alerts import message
from apps.alerts.errors import SendFailed
from apps.alerts.models import Delivery


def send(delivery: Delivery) -> None:
    """The same delivery has the same Message-ID, so that a second copy can be recognised."""
    if settings.EMAIL_BACKEND.endswith(".dummy.EmailBackend"):
        raise SendFailed("No mail can be sent: set CHATVAULT_MAIL_URL.")
    alert = delivery.alert
    mail = EmailMultiAlternatives(
        subject=message.subject(alert).replace("\n", " ").replace("\r", " "),
        body=message.plain(alert),
        to=delivery.channel.mailboxes,
        headers={
            "Message-ID": f"<{delivery.public_id}@chatvault>",
            "Auto-Submitted": "auto-generated",
            "X-ChatVault-Topic": alert.topic,
        },
    )
    mail.attach_alternative(
        render_to_string("alerts/mail.html", message.context(alert)), "text/html"
    )
    try:
        taken = mail.send()
    except smtplib.SMTPRecipientsRefused:
        raise SendFailed("The mail server refused all mailboxes of the channel.") from None
    except smtplib.SMTPResponseException as refused:
        raise SendFailed(f"The mail server answered {refused.smtp_code}.") from None
    except TimeoutError:
        raise SendFailed("The mail server did not answer in time.") from None
    except (OSError, ValueError) as error:  # smtplib's errors are OSErrors
        raise SendFailed(f"The mail server: {type(error).__name__}.") from None
    if not taken:
        raise SendFailed("The mail was not taken.")
