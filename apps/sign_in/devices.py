"""What a browser calls itself, in words that people recognise."""

from __future__ import annotations

import re
from typing import Final

_BROWSERS: Final = (
    ("Edge", r"Edg(?:e|A|iOS)?/(\d+)"),
    ("Opera", r"OPR/(\d+)"),
    ("Firefox", r"(?:Firefox|FxiOS)/(\d+)"),
    ("Chrome", r"(?:Headless)?(?:Chrome|CriOS|Chromium)/(\d+)"),
    ("Safari", r"Version/(\d+).*Safari"),
)
_SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("macOS", "Mac OS X"),
    ("ChromeOS", "CrOS"),
    ("Linux", "Linux"),
)
_PLAIN: Final = re.compile(r"[^\x20-\x7e]")


def device_of(agent: str) -> str:
    """`Firefox 140 on Linux`; what is not known is cut short and shown as it came."""
    text = _PLAIN.sub("", agent)[:500]
    browser = next(
        (f"{name} {found[1]}" for name, form in _BROWSERS if (found := re.search(form, text))), ""
    )
    system = next((name for name, sign in _SYSTEMS if sign in text), "")
    if browser and system:
        return f"{browser} on {system}"
    return (browser or text)[:80]
