"""Authlib gets a token and the `openai` package chats with it, both as they are published; what it
costs is booked for the application's client."""

from __future__ import annotations

import asyncio
import queue
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import openai
import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from django.test import Client as Browser

from apps.accounts import bearers
from apps.accounts.credentials import Asker
from apps.accounts.key_cache import KeyCache
from apps.oauth.models import Application
from tests.factories.accounts import make_client, make_membership
from tests.gateway.testbed import PEPPER
from tests.oauth.kit import REDIRECT, make_scene

pytestmark = pytest.mark.django_db


class ToDjango(requests.adapters.BaseAdapter):
    """Carries requests to the site in this process."""

    def send(self, request: Any, **_: Any) -> requests.Response:
        headers = {k: v for k, v in request.headers.items() if k.lower() != "content-length"}
        answer = Browser().generic(
            request.method,
            request.path_url,
            request.body or "",
            request.headers.get("content-type", ""),
            headers=headers,
        )
        made = requests.Response()
        made.status_code, made._content, made.url = answer.status_code, answer.content, request.url
        made.headers.update(answer.headers)
        return made

    def close(self) -> None:
        pass


class Desk:
    """Answers the gateway's questions in the thread that holds the database."""

    def __init__(self) -> None:
        self._asked: queue.Queue[tuple[Any, Future[Any]]] = queue.Queue()

    async def load(self, questions: Any) -> Any:
        answer: Future[Any] = Future()
        self._asked.put((questions, answer))
        return await asyncio.wrap_future(answer)

    def while_running(self, work: Any) -> Any:
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(work)
            while not running.done():
                try:
                    questions, answer = self._asked.get(timeout=0.02)
                except queue.Empty:
                    continue
                answer.set_result(bearers.answer(questions))
            return running.result()


def test_authlib_and_openai_work_unmodified(gateway, upstream):
    gateway.add_model("gpt-4o-mini", upstream.openai_url)
    gateway.add_client()
    number = max(gateway._clients)
    payer = make_client(pk=number)
    scene = make_scene(payer=payer, scopes=["inference"])
    make_membership(team=payer.team, user=scene.user, role="member")
    desk = Desk()
    gateway.plane.keys = KeyCache(desk.load, asker=Asker([PEPPER]))

    session = OAuth2Session(
        scene.application.client_id,
        scene.issued.secret.reveal(),
        scope="inference",
        redirect_uri=REDIRECT,
        code_challenge_method="S256",
    )
    session.mount("http://testserver", ToDjango())
    session.mount("https://testserver", ToDjango())
    url, _ = session.create_authorization_url(
        "https://testserver/oauth/authorize", code_verifier=scene.verifier
    )
    path = url.removeprefix("https://testserver")
    back = scene.browser.post(path, {"decision": "allow"})["Location"]
    token = session.fetch_token(
        "https://testserver/oauth/token",
        authorization_response=back,
        code_verifier=scene.verifier,
    )

    def chat() -> Any:
        client = openai.OpenAI(
            base_url=gateway.openai_url, api_key=token["access_token"], max_retries=0
        )
        return client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}]
        )

    assert desk.while_running(chat).choices[0].message.content
    settled = gateway.wait_settled()
    assert len(settled) == 1
    intents = [one for one in gateway.records() if hasattr(one, "client_id")]
    assert {one.client_id for one in intents} == {payer.pk}

    Application.objects.update(is_active=False)
    gateway._server.run(_drop(gateway, scene.application.pk))
    with pytest.raises(openai.AuthenticationError):
        desk.while_running(chat)
    assert len(gateway.settled()) == 1


async def _drop(gateway: Any, number: int) -> None:
    gateway.plane.keys.drop_holder(f"application:{number}")
