"""The person who is signed in is the actor of what a page changes."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from apps.audit.acting import Actor, acting

Answer = Callable[[HttpRequest], HttpResponse]


def acting_person(answer: Answer) -> Answer:
    """After the session is known; the API sets its own actor, who may be a machine."""

    def middleware(request: HttpRequest) -> HttpResponse:
        address = request.META.get("REMOTE_ADDR") or None
        user = request.user
        if user.is_authenticated:
            actor = Actor("person", user.get_username(), user.pk, address)
        else:
            actor = Actor("anonymous", "not signed in", None, address)
        with acting(actor):
            return answer(request)

    return middleware
