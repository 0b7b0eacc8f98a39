"""A command line that signs in by a code on another device (RFC 8628) and chats once."""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import openai
import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def wait_for_token(session: OAuth2Session, url: str, started: dict[str, Any]) -> dict[str, Any]:
    """Asks as often as it was told to (RFC 8628 §3.5). Exits when it is refused or too late."""
    interval_s = started.get("interval", 5)
    while True:
        time.sleep(interval_s)
        try:
            token: dict[str, Any] = session.fetch_token(
                url, grant_type=GRANT, device_code=started["device_code"]
            )
            return token
        except OAuthError as error:
            if error.error == "slow_down":
                interval_s += 5
            elif error.error != "authorization_pending":
                raise SystemExit(f"{error.error}: {error.description or ''}") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", help="what to say")
    parser.add_argument("--model", default="demo", help="alias to chat with")
    parser.add_argument("--scope", default="inference")
    arguments = parser.parse_args()
    issuer = os.environ["CHATVAULT_URL"].rstrip("/")
    client_id, secret = os.environ["CLIENT_ID"], os.environ.get("CLIENT_SECRET") or None
    found = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=10).json()
    session = OAuth2Session(
        client_id,
        secret,
        token_endpoint_auth_method="client_secret_basic" if secret else "none",
    )
    asked = {"client_id": client_id, "scope": arguments.scope}
    answer = requests.post(
        found["device_authorization_endpoint"],
        asked,
        auth=(client_id, secret) if secret else None,
        timeout=10,
    )
    started = answer.json()
    if not answer.ok:
        raise SystemExit(f"{started['error']}: {started.get('error_description', '')}")
    print(f"Open {started['verification_uri']} and enter {started['user_code']}", flush=True)
    token = wait_for_token(session, found["token_endpoint"], started)
    client = openai.OpenAI(
        base_url=os.environ.get("CHATVAULT_API_URL", f"{issuer}/v1"), api_key=token["access_token"]
    )
    said = client.chat.completions.create(
        model=arguments.model, messages=[{"role": "user", "content": arguments.text}]
    )
    print(said.choices[0].message.content)


if __name__ == "__main__":
    main()
