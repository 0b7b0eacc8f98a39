"""A plain HTTP client for tests: no TLS to set up for each call, no proxy, no kept connections."""

import httpx

HTTP = httpx.Client(
    verify=False,
    trust_env=False,
    timeout=10,
    limits=httpx.Limits(max_keepalive_connections=0),
)
