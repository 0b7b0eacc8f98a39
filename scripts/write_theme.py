"""Writes static/chatvault/theme.css: the admin's colours, which the theme would put inline."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PATH = ROOT / "static" / "chatvault" / "theme.css"

_HEAD = """/* The colours of chatvault/settings/admin.py and of the theme, which writes them inline.
   Written by `make docs`; a test holds it to the settings. */
"""


def theme() -> str:
    """The style sheet. Django must be set up."""
    from django.contrib import admin
    from django.test import RequestFactory

    site = admin.site
    request = RequestFactory().get("/")
    lines = [f"  --border-radius: {site._get_config('BORDER_RADIUS', request)};"]
    for name, weights in site._get_colors("COLORS", request).items():
        lines += [f"  --color-{name}-{weight}: {value};" for weight, value in weights.items()]
    return _HEAD + "html:root {\n" + "\n".join(lines) + "\n}\n"


def main() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatvault.settings")
    django.setup()
    PATH.write_text(theme(), encoding="utf-8")


if __name__ == "__main__":
    main()
