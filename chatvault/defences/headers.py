"""Headers of every answer that Django gives. The policy of pages is in lib/page_policy.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse

from chatvault.lib.page_policy import DATA

Answer = Callable[[HttpRequest], HttpResponse]

POLICY: Final = "Content-Security-Policy"
_UNUSED: Final = (
    "accelerometer", "autoplay", "camera", "display-capture", "encrypted-media",
    "fullscreen", "geolocation", "gyroscope", "hid", "idle-detection", "magnetometer",
    "microphone", "midi", "payment", "picture-in-picture", "screen-wake-lock", "serial", "usb",
    "xr-spatial-tracking",
)  # fmt: skip
FIXED: Final = {
    "Permissions-Policy": ", ".join(f"{name}=()" for name in _UNUSED),
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
KEPT_BY_NOBODY: Final = "private, no-store"


def defended(answer: Answer) -> Answer:
    """What a view or the server of files has said itself stays."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = answer(request)
        for name, value in FIXED.items():
            response.headers.setdefault(name, value)
        if not response.headers.get("Content-Type", "").startswith("text/html"):
            response.headers.setdefault(POLICY, DATA)
        response.headers.setdefault("Cache-Control", KEPT_BY_NOBODY)
        return response

    return middleware
