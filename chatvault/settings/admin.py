"""Looks of the admin: unfold's theme."""

from typing import Any

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "ChatVault",
    "SITE_HEADER": "ChatVault",
    "SITE_SUBHEADER": "LLM gateway",
    "SITE_SYMBOL": "vpn_key",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
}
