"""oauthlib's server without the grants that nobody may use any more."""

from __future__ import annotations

from typing import Any

from oauthlib.openid import Server as EveryGrant


class Server(EveryGrant):
    """No password grant (RFC 9700 §2.4), whose passwords nobody would count, and no answers but
    codes from the authorization endpoint (§2.1.2)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.grant_types.pop("password")
        for name in [one for one in self.response_types if one != "code"]:
            self.response_types.pop(name)
