"""The first run: administrator, demo configuration and one key, told once and never again.

Everything in the database happens in one transaction, and the file with the credentials is
written before it commits under a name that says that it is a draft. So a crash at any point
leaves either nothing, and the next start begins again, or everything, and the next start only
gives the file its name.
"""

import asyncio
import json
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction

from chatvault.first_run import document, ollama
from chatvault.progress import say
from chatvault.supervisor.state import write_private

ADMIN = "admin"


def first_run(*, home: Path, url: str) -> None:
    """Sets ChatVault up unless it is; `url` is where it will be reached."""
    told, draft = home / "first-run.json", home / "first-run.draft.json"
    if _has_administrator():
        if draft.exists():
            draft.replace(told)
            _tell(told)
        elif told.exists():
            _follow_url(told, url)
            say(f"admin: {url}/admin/  (what the first run made is in {told})")
        return
    say("first run: setting up the demo and the administrator")
    with transaction.atomic():
        credentials = {
            "url": url,
            "admin": {"username": ADMIN, "password": _make_administrator()},
            "api_key": _configure(),
        }
        write_private(draft, json.dumps(credentials, indent=2) + "\n")
    draft.replace(told)
    _tell(told)


def _has_administrator() -> bool:
    return get_user_model().objects.filter(is_superuser=True).exists()


def _make_administrator() -> str:
    password = secrets.token_urlsafe(18)
    get_user_model().objects.create_superuser(username=ADMIN, email="", password=password)
    return password


def _configure() -> str:
    """Applies the first document; returns the key that it made."""
    from apps.configuration import documents

    models = asyncio.run(ollama.models(os.environ.get("OLLAMA_HOST", "")))
    wanted = document.build(os.environ, today=datetime.now(tz=UTC).date(), ollama_models=models)
    if names := document.found(os.environ):
        say(f"found {', '.join(names)}: {len(wanted['aliases'])} models are set up")
    result = documents.apply(wanted, source="first-run", actor=None)
    return result.secret_of(document.CLIENT, document.KEY).reveal()


def _follow_url(told: Path, url: str) -> None:
    """Keeps the file's address right when a later run listens elsewhere."""
    try:
        content: dict[str, Any] = json.loads(told.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # the operator keeps something else under this name
    if content.get("url") != url:
        write_private(told, json.dumps({**content, "url": url}, indent=2) + "\n")


def _tell(told: Path) -> None:
    content = json.loads(told.read_text(encoding="utf-8"))
    say(f"admin:    {content['url']}/admin/")
    if settings.CHATVAULT.log.format == "json":  # those lines are collected and kept
        say(f"the administrator's password and an API key are in {told}")
        return
    say(f"username: {content['admin']['username']}")
    say(f"password: {content['admin']['password']}")
    say(f"API key:  {content['api_key']}  (base URL {content['url']}/v1, model {document.DEMO})")
    say(f"these are shown once; they are also in {told}")
