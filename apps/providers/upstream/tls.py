"""TLS towards providers: verified, 1.2 or newer, the system's roots and certifi's."""

from __future__ import annotations

import ssl


def default_context() -> ssl.SSLContext:
    """Takes some 30 ms: build it off the event loop, once per process."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(cafile=certifi.where())
    return checked(context)


def checked(context: ssl.SSLContext) -> ssl.SSLContext:
    """The context, if it keeps the promises above. Raises ValueError otherwise."""
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    if context.verify_mode != ssl.CERT_REQUIRED or not context.check_hostname:
        raise ValueError("An upstream TLS context must verify certificates and host names.")
    return context
