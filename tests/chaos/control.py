"""`python -m tests.chaos.control`: the control plane on a line, so that a scenario need not start
a `manage.py` for each of its questions. One JSON object a line in, one a line out."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from tests.chaos import credentials

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatvault.settings")


def apply(document: dict[str, Any]) -> dict[str, Any]:
    """`manage.py config apply` of a document."""
    import yaml

    from apps.configuration import documents
    from apps.configuration.models import Revision
    from apps.configuration.problems import DocumentRefused

    text = yaml.safe_dump({"version": 1, **document})
    try:
        applied = documents.apply(text, source=Revision.Source.DOCUMENT, actor=None, prune=False)
    except DocumentRefused as refused:
        raise ValueError("; ".join(map(str, refused.problems))) from None
    return {"revision": applied.revision}


def restore(revision: int) -> dict[str, Any]:
    """Back to an earlier revision, as the admin does it."""
    from apps.configuration import restoring
    from apps.configuration.models import Revision

    restoring.restore(revision=Revision.objects.get(pk=revision), actor=None)
    return {"revision": Revision.objects.order_by("-pk").values_list("pk", flat=True)[0]}


def verify() -> dict[str, Any]:
    """`manage.py verify_ledger`: what differs."""
    from apps.usage.verify import verify as findings

    wrong = [found for found in findings() if found.differences]
    return {"wrong": {found.name: [str(one) for one in found.examples] for found in wrong}}


def limits() -> dict[str, Any]:
    """What Redis says of each budget beside what the ledger says, and what is open there."""
    from apps.billing import shared_limits
    from apps.usage.restore import one_view

    books = shared_limits.new_books(timeout_s=5)
    if books.look() is None:
        return {"budgets": [], "requests": -1}
    with one_view():
        ledger = shared_limits.loaded()
    told = books.sums([(one.id, one.oldest_s) for one in ledger])
    budgets = [
        [one.id, *told[one.id, one.oldest_s], one.windows[0][1]]
        for one in ledger
        if (one.id, one.oldest_s) in told
    ]
    requests = {owner: len(books.entries_of(owner, 10_000)) for owner in books.owners()}
    books.close()
    return {"budgets": budgets, "requests": requests}


def revoke(client: str) -> dict[str, Any]:
    """All keys of a client, for good."""
    from apps.accounts import services
    from apps.accounts.models import ApiKey

    keys = ApiKey.objects.filter(client__name=client)
    return {"revoked": services.revoke_keys(keys=keys, actor=None)}


def deliver(task: str, named: dict[str, Any]) -> dict[str, Any]:
    """Send a task through the broker."""
    from chatvault.celery import app

    app.send_task(task, kwargs=named, retry=False)
    return {}


def enqueue(name: str, task: str, lose: bool) -> dict[str, Any]:
    """A run that waits for a worker; with `lose` no message of it reaches the broker."""
    from apps.configuration import job_queue

    if lose:
        job_queue.send, sent = (lambda row: False), job_queue.send  # type: ignore[assignment]
    try:
        row = job_queue.enqueue(name, task)
    finally:
        if lose:
            job_queue.send = sent
    return {"run": row.pk if row is not None else 0}


VERBS: dict[str, Callable[..., dict[str, Any]]] = {
    each.__name__: each
    for each in (
        *(apply, restore, verify, limits, revoke, deliver, enqueue),
        *(credentials.grant, credentials.end, credentials.mend),
    )
}


def main() -> None:
    import django

    django.setup()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what others print is not an answer
    for line in sys.stdin:
        asked = json.loads(line)
        os.environ.update(asked.pop("environ", {}))
        answers.write(json.dumps(_told(asked.pop("do"), asked)) + "\n")


def _told(verb: str, what: dict[str, Any]) -> dict[str, Any]:
    """Asked twice when the database went away and came back meanwhile."""
    from django.db import OperationalError, connection

    try:
        try:
            return VERBS[verb](**what)
        except OperationalError:
            connection.close()
            connection.close_pool()  # type: ignore[attr-defined]
            return VERBS[verb](**what)
    except Exception as error:  # the scenario decides what it means
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main()
