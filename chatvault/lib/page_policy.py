"""What a browser may load and run on our pages (Content-Security-Policy Level 3).

Nothing, unless it is listed. Code comes from our own files, or carries the nonce of its answer;
text of a page is never code: no `unsafe-inline`, no `unsafe-eval`, for styles neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from csp.constants import NONCE, NONE, SELF

if TYPE_CHECKING:
    from django.http import HttpResponseBase

REPORT_PATH: Final = "/csp-report"

Policy = dict[str, list[Any]]

PAGES: Final[Policy] = {
    "default-src": [NONE],
    "script-src": [SELF, NONCE],
    "style-src": [SELF, NONCE],
    "img-src": [SELF, "data:"],
    "font-src": [SELF],
    "connect-src": [SELF],
    "form-action": [SELF],
    "base-uri": [NONE],
    "frame-ancestors": [NONE],
    "object-src": [NONE],
    "report-uri": [REPORT_PATH],
}
"""Of every page of the admin, of sign-in and of errors."""

DATA: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""Of answers that are no page: JSON, exports, figures. Nothing in them can run or load."""

_REDOC_STYLES: Final = (  # the two style elements that ReDoc makes before it knows its nonce
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",  # empty; rules are added by script
    "'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='",
)

REFERENCE: Final[Policy] = PAGES | {
    "style-src": [SELF, NONCE, *_REDOC_STYLES],
    "worker-src": ["blob:"],  # ReDoc searches in a worker that it makes itself
    "form-action": [NONE],
}
"""Of the pages that show the API's description."""


def let_forms_lead_to(response: HttpResponseBase, *origins: str) -> None:
    """A form of this page may end at another site, as OAuth's consent does at the client's.

    `form-action` holds for redirects after a post too, in Chromium (w3c/webappsec-csp#8).
    """
    held: Any = response
    held._csp_update = {**getattr(held, "_csp_update", {}), "form-action": list(origins)}
