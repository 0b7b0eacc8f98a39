"""Where the secrets of providers belong: what each is sealed with, see `chatvault.lib.vault`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from chatvault.lib.http_guard import parse_target
from chatvault.lib.vault import SecretContext, Vault, is_sealed

__all__ = ["SecretContext", "Vault", "is_sealed"]


def credential_context(row: int, origin: str) -> SecretContext:
    """The context of the secret of the credential with this primary key."""
    return SecretContext("provider-credential", "providers.credential", str(row), "secret", origin)


def origin_of(base_url: str, family: str, vendor: str = "") -> str:
    """`scheme://host:port`, normalised; without a URL, family and vendor decide where to call.

    Raises UpstreamForbidden for a URL that is not plainly http or https.
    """
    if not base_url:
        return f"default:{family}:{vendor}"
    target = parse_target(base_url)
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{target.scheme}://{host}:{target.port}"


def origin_of_provider(base_url: str, family: str, options: Mapping[str, object]) -> str:
    """`origin_of` from what a provider's row has: where there is no URL, the options that choose
    the vendor choose the address, too."""
    vendor = str(options.get("vendor") or options.get("litellm_provider") or "")
    if params := options.get("params"):
        text = json.dumps(params, sort_keys=True, default=str)
        vendor += f":{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return origin_of(base_url, family, vendor)
