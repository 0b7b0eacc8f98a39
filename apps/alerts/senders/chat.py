"""To chats and pagers, by apprise: only services of the list below, whatever else it knows.

Apprise also runs programs, reads files and talks to local sockets, by URLs that look alike. So its
plugins are named here and loaded one by one; of a URL's options only harmless ones are taken
(`template=` reads a file); and what a plugin sends goes through our own guard, see `chat_http`.
It is loaded by who sends, not by who answers requests.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from apps.alerts import message, secrets
from apps.alerts.errors import ChannelRefused, SendFailed
from apps.alerts.models import Delivery
from apps.alerts.senders import chat_http


class Service(NamedTuple):
    title: str
    plugin: str  # module and class of apprise
    kind: str
    schemes: tuple[str, ...]
    hosts: tuple[str, ...]  # of the address that the service itself shows
    example: str


SERVICES: Final = (
    Service("Slack", "slack", "NotifySlack", ("slack",), ("hooks.slack.com",),
            "https://hooks.slack.com/services/T…/B…/…"),
    Service("Microsoft Teams", "workflows", "NotifyWorkflows", ("workflow", "workflows"),
            (".logic.azure.com", ".api.powerplatform.com"),
            "https://….logic.azure.com:443/workflows/…"),
    Service("Discord", "discord", "NotifyDiscord", ("discord",),
            ("discord.com", "discordapp.com"), "https://discord.com/api/webhooks/…/…"),
    Service("Google Chat", "google_chat", "NotifyGoogleChat", ("gchat",),
            ("chat.googleapis.com",), "https://chat.googleapis.com/v1/spaces/…"),
    Service("Webex", "webexteams", "NotifyWebexTeams", ("wxteams", "webex"),
            ("webexapis.com", "api.ciscospark.com"), "webex://token"),
    Service("Telegram", "telegram", "NotifyTelegram", ("tgram",), (), "tgram://bot-token/chat-id"),
    Service("Mattermost", "mattermost", "NotifyMattermost", ("mmosts", "mmost"), (),
            "mmosts://chat.example.org/token"),
    Service("PagerDuty", "pagerduty", "NotifyPagerDuty", ("pagerduty",), (),
            "pagerduty://integration-key@api-key"),
    Service("Opsgenie", "opsgenie", "NotifyOpsgenie", ("opsgenie",), (), "opsgenie://api-key"),
)  # fmt: skip
OPTIONS: Final = frozenset(
    {"sig", "signature", "sp", "sv", "api-version", "ver", "pa", "powerautomate", "route"}
    | {"routeid", "workflow", "id", "thread", "topic", "region", "severity", "priority", "to"}
    | {"channel", "channels", "team", "key", "token", "tags", "mode", "footer", "threadkey"}
)
_MOST_URL: Final = 2000


def service_of(url: str) -> Service:
    """Raises ChannelRefused with what would be right."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError:
        raise ChannelRefused("secret_url", "This is not an address.") from None
    scheme = parts.scheme.lower()
    for service in SERVICES:
        if scheme in service.schemes or (scheme == "https" and _is_of(host, service.hosts)):
            _check_options(parts.query)
            return service
    titles = ", ".join(service.title for service in SERVICES)
    raise ChannelRefused(
        "secret_url",
        f"This is no address of a service that is known here: {titles}. Give the address that the "
        "service shows, such as https://hooks.slack.com/services/…; for others choose Webhook.",
    )


def check(url: str) -> str:
    """What may be shown of the address. Raises ChannelRefused."""
    service = service_of(url)
    if len(url) > _MOST_URL or any(c <= " " or c == "\x7f" for c in url):
        raise ChannelRefused("secret_url", "The address is too long, or has blanks in it.")
    try:
        _plugin(url, service)
    except SendFailed as failed:
        raise ChannelRefused("secret_url", failed.message) from None
    return service.title


def send(delivery: Delivery) -> None:
    url = secrets.reveal(delivery.channel).url
    try:
        service = service_of(url)
    except ChannelRefused as refused:
        raise SendFailed(refused.message) from None
    plugin = _plugin(url, service)
    from apprise.common import NotifyFormat, NotifyType

    with chat_http.watched() as said:
        is_sent = plugin.notify(
            title=message.subject(delivery.alert),
            body=message.plain(delivery.alert),
            notify_type=NotifyType.WARNING,
            body_format=NotifyFormat.TEXT,
        )
    if not is_sent:
        reason = said[-1] if said else "The message was not taken: look at the address."
        raise SendFailed(f"{service.title}: {reason}")


def _is_of(host: str, hosts: tuple[str, ...]) -> bool:
    return any(host == one or (one.startswith(".") and host.endswith(one)) for one in hosts)


def _check_options(query: str) -> None:
    given = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
    unknown = sorted({name[:40] for name in given if name.lower() not in OPTIONS})
    if unknown:
        raise ChannelRefused(
            "secret_url", f"The address has an option that is not taken: {unknown[0]}. Remove it."
        )


def _plugin(url: str, service: Service) -> Any:
    """Apprise's own object for the address, speaking through our guard. Raises SendFailed."""
    logging.getLogger("apprise").disabled = True  # it writes addresses, which are secrets
    module = import_module(f"apprise.plugins.{service.plugin}")
    chat_http.guard(module)
    kind = getattr(module, service.kind)
    wrong = SendFailed(f"The address is not complete; it looks like {service.example}")
    try:
        if url.lower().startswith("https:"):
            found = kind.parse_native_url(url)
        else:
            found = kind.parse_url(url)
        if not found:
            raise wrong
        return kind(**{**found, "asset": _asset()})
    except (TypeError, ValueError, KeyError):  # AppriseImproperlyConfigured is a TypeError
        raise wrong from None


def _asset() -> Any:
    from apprise.asset import AppriseAsset

    return AppriseAsset(
        app_id="ChatVault", app_desc="ChatVault", app_url="", image_url_mask="", image_url_logo=""
    )
