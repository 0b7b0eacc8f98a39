"""What the request log tells admins about a failure: classes, codes and statuses, which are ours.
Nothing that a provider or a client wrote is in it."""

from __future__ import annotations

from typing import Final

from chatvault.lib.errors import ChatVaultError, UpstreamRefused, UpstreamTimedOut
from chatvault.lib.faults import place_of

MOST: Final = 200


def detail_of(error: BaseException) -> str:
    """One line, such as "UpstreamRefused rate_limit_exceeded, the provider said 429"."""
    words = [type(error).__name__]
    if isinstance(error, ChatVaultError):
        words.append(error.public_code)
        if isinstance(error, UpstreamRefused):
            words.append(f"the provider said {error.upstream_status}")
        elif isinstance(error, UpstreamTimedOut):
            words.append(f"while waiting for {error.phase}")
        if error.scope:
            words.append(f"of the {error.scope}")
    else:
        place, line = place_of(error.__traceback__)
        words.append(f"at {place}:{line}")
    cause = error.__cause__
    if cause is not None:
        words.append(f"because of {type(cause).__name__}")
    text = f"{words[0]} {', '.join(words[1:])}"
    return text[:MOST]
