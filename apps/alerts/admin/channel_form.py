"""A channel's form: addresses and secrets go in and never come out again."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextareaWidget

from apps.accounts.admin.limited import asking
from apps.accounts.roles import Capability
from apps.alerts import channels, topics
from apps.alerts.errors import ChannelRefused
from apps.alerts.models import Channel
from apps.alerts.senders import chat

SECRET: Final = ("secret_url", "signing_secret")
_KEPT: Final = "•••••••• (kept)"


def _hidden(label: str, help_text: str) -> forms.CharField:
    return forms.CharField(
        label=label,
        required=False,
        strip=True,
        max_length=2000,
        help_text=help_text,
        widget=UnfoldAdminPasswordWidget(
            attrs={"autocomplete": "new-password", "spellcheck": "false"}, render_value=False
        ),
    )


class ChannelForm(forms.ModelForm):
    secret_url = _hidden(
        "Address",
        "Of a webhook its https address. Of a chat the address that the service shows: "
        f"{', '.join(service.title for service in chat.SERVICES)}; for example "
        "https://hooks.slack.com/services/…, or pagerduty://integration-key@api-key. It is "
        "encrypted and never shown again. Empty: the present one stays.",
    )
    signing_secret = _hidden(
        "Signing secret",
        f"At least {channels.LEAST_SECRET} characters that only you and the receiver know, such "
        "as the output of `openssl rand -hex 32`: each request is signed with it. Encrypted and "
        "never shown again. Empty: the present one stays.",
    )
    topics = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="What it takes. None chosen: everything, also what is added later.",
    )
    request: Any = None

    class Meta:
        model = Channel
        fields = ("name", "kind", "team", "recipients", "topics", "is_active")
        labels = {"recipients": "Mailboxes", "is_active": "Active"}
        help_texts = {
            "name": "Such as Slack llm-costs. Unique in its team.",
            "kind": "Mail needs CHATVAULT_MAIL_URL. A webhook is a POST with signed JSON, see "
            "docs/alerts.md. Chats and pagers are those that are named below.",
            "recipients": "One a line, such as ops@example.org; at most "
            f"{channels.MOST_MAILBOXES}. All of them see each other.",
        }
        widgets = {"recipients": UnfoldAdminTextareaWidget(attrs={"rows": 3})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prepared: Channel | None = None
        chosen: Any = self.fields.get("topics")
        if chosen is not None:
            known = topics.registered()
            chosen.choices = [(one.name, f"{one.title}: {one.explanation}") for one in known]
        if self.instance.sealed:
            for name in SECRET:
                if name in self.fields:
                    self.fields[name].widget.attrs["placeholder"] = _KEPT

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        team = cleaned.get("team")
        if team is None and not asking(self.request).may(Capability.ALERTS_WRITE):
            self.add_error("team", "Choose your team: this one would take everybody's alerts.")
        if self.errors:
            return cleaned
        known = self.instance
        draft = Channel(
            public_id=known.public_id,
            kind=cleaned["kind"],
            team=team,
            recipients=cleaned["recipients"] if cleaned["kind"] == Channel.Kind.EMAIL else "",
            sealed=known.sealed,
            topics=cleaned["topics"],
        )
        try:
            channels.prepare(draft, **{name: cleaned.get(name) or "" for name in SECRET})
        except ChannelRefused as refused:
            self.add_error(refused.field, refused.message)
            return cleaned
        self.prepared = draft
        cleaned["recipients"] = draft.recipients
        return cleaned

    @property
    def entered(self) -> list[str]:
        return [name for name in SECRET if self.cleaned_data.get(name)]

    def store(self) -> None:
        """Save the row with what was entered."""
        channel: Channel = self.instance
        if self.prepared is not None:
            channel.sealed = self.prepared.sealed
            channel.address = self.prepared.address
            channel.recipients = self.prepared.recipients
        channels.save(channel, entered=self.entered)
