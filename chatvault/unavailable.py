"""The answer when the admin or its API cannot be served: 503 where the database is the reason."""

import sys

from django.db.utils import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

RETRY_AFTER_S = 2
_PAGE = """<!doctype html><html lang="en"><title>ChatVault: back soon</title>
<h1>The database does not answer</h1>
<p>Requests of clients are served meanwhile, and nothing of what they use is lost. This page works
again as soon as the database does: try again in a moment.</p></html>"""


def server_error(request: HttpRequest) -> HttpResponse:
    """Django calls it while it handles the exception that nobody else did."""
    if not isinstance(sys.exc_info()[1], (OperationalError, InterfaceError)):
        return defaults.server_error(request)
    headers = {"Retry-After": str(RETRY_AFTER_S), "Cache-Control": "no-store"}
    if request.path.startswith("/api/"):
        body = {"error": {"message": "The database does not answer.", "type": "server_error",
                          "param": None, "code": "database_unavailable"}}  # fmt: skip
        return JsonResponse(body, status=503, headers=headers)
    return HttpResponse(_PAGE, status=503, headers=headers)
