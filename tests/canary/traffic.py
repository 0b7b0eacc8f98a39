"""Good, bad and failing requests of every kind, made by somebody who holds all the secrets."""

from __future__ import annotations

import base64
import hmac
import json
import re
import struct
import time
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2

from tests.canary import applications
from tests.canary.marks import known
from tests.canary.site import Site, new_name
from tests.fakes.receiver import Receiver

CHAT = "/v1/chat/completions"
_LINK = re.compile(r'href="([^"#]+)"')
_FIELD = re.compile(r"<(?:input|select|textarea)\b[^>]*>", re.IGNORECASE)
_NEVER = ("/logout", "/out/", "/delete/", ".csv", "/static/", "/jsi18n", "/export/")


def everything(site: Site, *, pages: int, commands: tuple[str, ...]) -> None:
    """All of it; `pages`: how many pages of the admin are looked at."""
    with httpx2.Client(base_url=site.url, timeout=20, follow_redirects=False) as plain:
        for request in _inference(site):
            _send(site, plain, **request)
        for request in _strangers(site):
            _send(site, plain, **request)
    with httpx2.Client(base_url=site.url, timeout=20, follow_redirects=True) as owner:
        _sign_in(site, owner)
        _write(site, owner)
        _enrol(site, owner)
        _authorize(site, owner)
        _crawl(site, owner, pages)
    _commands(site, *commands)


def _inference(site: Site) -> Iterator[dict[str, Any]]:
    """Every model, streamed and not, by both keys."""
    prompt = [{"role": "user", "content": site.secret("prompt")}]
    for model in site.models:
        site.upstream.will_answer(site.secret("answer")) if model == "good" else None
        for stream in (False, True):
            for key in ("client key", "foreign key"):
                yield {
                    "method": "POST", "url": CHAT, "key": site.secret(key),
                    "json": {"model": model, "messages": prompt, "stream": stream,
                             "user": site.secret("prompt")},
                }  # fmt: skip


def _strangers(site: Site) -> Iterator[dict[str, Any]]:
    """Wrong keys, secrets in wrong places, bodies that are none."""
    key, prompt = site.secret("client key"), site.secret("prompt")
    body = {"model": "good", "messages": [{"role": "user", "content": prompt}]}
    for wrong in ("unknown key", "forged token", "provider key"):
        yield {"method": "POST", "url": CHAT, "key": site.secret(wrong), "json": body}
        yield {"method": "GET", "url": "/api/v1/audit-events", "key": site.secret(wrong)}
        yield {"method": "GET", "url": f"/v1/models?api_key={site.secret(wrong)}"}
    basic = base64.b64encode(f"user:{key}".encode()).decode()
    for headers in (
        {"authorization": f"Basic {basic}"},
        {"authorization": key},
        {"x-api-key": key},
        {"cookie": f"sessionid={key}"},
        {"x-request-id": key},
        {"user-agent": key, "referer": f"https://x.example/?token={key}"},
        {"traceparent": f"00-{key}-01"},
        {"host": f"{key}.example"},
    ):
        yield {"method": "POST", "url": CHAT, "headers": headers, "json": body}
        yield {"method": "GET", "url": "/admin/", "headers": headers}
    for content in (
        b"{" + prompt.encode(),
        json.dumps({"model": "nosuch", "messages": [], "prompt": prompt}).encode(),
        json.dumps({**body, "model": key}).encode(),
        json.dumps({**body, "model": site.secret("provider key")}).encode(),
        json.dumps({"model": key, "messages": "x"}).encode(),
        json.dumps({**body, key: prompt, "temperature": prompt}).encode(),
        json.dumps([prompt]).encode(),
    ):
        yield {"method": "POST", "url": CHAT, "key": key, "content": content}
    for path in (f"/v1/{key}", f"/admin/{key}/", f"/api/v1/{key}", f"/admin/login/?next={key}"):
        yield {"method": "GET", "url": path, "key": key}
    wrong = {"username": "admin", "password": site.secret("wrong password")}
    yield {"method": "POST", "url": "/api/v1/auth/token", "json": wrong}
    yield {"method": "POST", "url": "/api/v1/auth/token", "json": {**wrong, key: prompt}}
    yield {"method": "POST", "url": "/api/v1/auth/token/verify", "json": {"token": key}}


def _send(site: Site, client: httpx2.Client, *, key: str = "", **request: Any) -> Any:
    headers = dict(request.pop("headers", {}))
    if key:
        headers["authorization"] = f"Bearer {key}"
    headers.setdefault("content-type", "application/json")
    try:
        answer = client.request(headers=headers, **request)
        content = answer.read()
    except httpx2.HTTPError as error:
        site.keep("what a client's library said", repr(error).encode())
        return None
    if answer.status_code >= 400:
        site.keep(f"error {answer.status_code} of {request['method']}", _whole(answer, content))
    return answer


def _whole(answer: Any, content: bytes) -> bytes:
    head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
    return head.encode() + b"\n\n" + content


def _sign_in(site: Site, owner: httpx2.Client) -> None:
    """Once with a wrong password, then with the right one; then tokens by the API."""
    for password in (site.secret("wrong password"), site.secret("administrator's password")):
        page = owner.get("/sign-in/")
        data = {"username": "admin", "login": "admin", "password": password}
        answer = owner.post(
            "/sign-in/", data=data | _token(page.text), headers={"referer": str(page.url)}
        )
        site.keep("page of signing in", answer.content)
    assert owner.get("/admin/").status_code == 200
    session = owner.cookies.get("sessionid") or owner.cookies.get("__Host-sessionid")
    assert session, list(owner.cookies)
    site.marks["session"] = known("session", session)
    given = {"username": "admin", "password": site.secret("administrator's password")}
    pair = httpx2.post(f"{site.url}/api/v1/auth/token", json=given, timeout=20).json()
    for name in ("access", "refresh"):
        if name in pair:
            signature = pair[name].rpartition(".")[2]
            site.marks[f"{name} token"] = known(f"{name} token", signature)
            _use_token(site, pair[name])


def _use_token(site: Site, token: str) -> None:
    with httpx2.Client(base_url=site.url, timeout=20) as machine:
        for url in ("/v1/models", "/api/v1/audit-events", "/api/v1/nothing"):
            _send(site, machine, method="GET", url=url, key=token)


def _token(html: str) -> dict[str, str]:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', html)
    return {"csrfmiddlewaretoken": found[1]} if found else {}


def _write(site: Site, owner: httpx2.Client) -> None:
    """Secrets and passwords into forms that take them and forms that refuse them."""
    person, password = new_name(), site.secret("password of a person")
    new = {"username": person, "password1": password, "password2": password,
           "usable_password": "true"}  # fmt: skip
    _post(site, owner, "/admin/accounts/user/add/", new | {"password2": password + "x"})
    _post(site, owner, "/admin/accounts/user/add/", new)
    outside = {"name": new_name(), "slug": "outside", "kind": "oidc", "client_id": "chatvault",
               "server_url": "https://id.example.com", "first_login": "invited",
               "new_secret": site.secret("client secret of an identity provider")}  # fmt: skip
    _post(site, owner, "/admin/sign_in/identityprovider/add/", outside | {"client_id": ""})
    _post(site, owner, "/admin/sign_in/identityprovider/add/", outside)
    assert "id.example.com" in owner.get("/admin/sign_in/identityprovider/").text
    _alert(site, owner)
    listing = owner.get("/admin/providers/credential/").text
    found = re.search(r"/admin/providers/credential/(\d+)/change/", listing)
    assert found, "the document made a credential"
    changed = {"new_secret": site.secret("changed provider key")}
    _post(site, owner, found[0], changed | {"name": ""})
    _post(site, owner, found[0], changed)


def _alert(site: Site, owner: httpx2.Client) -> None:
    """Channels whose addresses are secrets: refused, made, and tried against one that fails."""
    with Receiver().running() as receiver:
        receiver.status = 500
        signing = site.secret("signing secret of a webhook")
        hook = f"{receiver.url}/{site.secret('address of a webhook')}"
        chat = f"mmost://{receiver.host}/{site.secret('address of a chat')}"
        for kind, url in (("webhook", hook), ("chat", chat)):
            data = {"name": new_name(), "kind": kind, "secret_url": url, "is_active": "on",
                    "signing_secret": signing if kind == "webhook" else ""}  # fmt: skip
            _post(site, owner, "/admin/alerts/channel/add/", data | {"name": ""})
            _post(site, owner, "/admin/alerts/channel/add/", data)
        listing = owner.get("/admin/alerts/channel/").text
        found = set(re.findall(r"/admin/alerts/channel/(\d+)/change/", listing))
        assert len(found) == 2, "both channels were made"
        for number in found:
            page = owner.get(f"/admin/alerts/channel/{number}/change/")
            answer = owner.post(
                f"/admin/alerts/channel/{number}/test/",
                data=_token(page.text),
                headers={"referer": str(page.url)},
            )
            site.keep(f"page of channel {number}", page.content + answer.content)
        assert len(receiver.taken) == 2, "both were tried"


def _enrol(site: Site, owner: httpx2.Client) -> None:
    """A second factor: its secret is on the page that shows it, once, and nowhere else."""
    url = "/sign-in/account/app/add/"
    page = owner.get(url)
    if "Is it you?" in page.text:
        data = {"password": site.secret("administrator's password")} | _token(page.text)
        again = owner.post(str(page.url), data=data, headers={"referer": str(page.url)})
        site.keep("page of proving it again", again.content)
        page = owner.get(url)
    secret = re.search(r'id="totp-secret"[^>]*>([A-Z2-7]{16,})<', page.text)
    assert secret, page.text[:500]
    shown = f"page after POST {url}"
    site.marks["TOTP secret"] = known("TOTP secret", secret[1], allowed=(shown,))
    wrong = {"code": "000000"} | _token(page.text)
    site.keep(shown, owner.post(url, data=wrong, headers={"referer": str(page.url)}).content)
    right = wrong | {"code": _code_of(secret[1])}
    answer = owner.post(url, data=right, headers={"referer": str(page.url)})
    site.keep("page of the enrolled", answer.content)
    assert owner.get(url).url.path != url, "the second factor was not taken"


def _authorize(site: Site, owner: httpx2.Client) -> None:
    csrf = _token(owner.get("/admin/accounts/user/add/").text)["csrfmiddlewaretoken"]
    made = {
        flow: applications.make(site, owner, csrf, flow, kind)
        for flow, kind in (
            ("client-credentials", "confidential"),
            ("authorization-code", "confidential"),
            (applications.DEVICE, "public"),
        )
    }
    web = made["authorization-code"]
    code = applications.allow(site, owner, web, lambda html: dict(_filled_in(html)) | _token(html))
    with httpx2.Client(base_url=site.url, timeout=20) as machine:
        applications.act(site, machine, made["client-credentials"])
        applications.wait(site, machine, made[applications.DEVICE], web["client_id"])
        applications.exchange(site, machine, web, code)


def _code_of(secret: str) -> str:
    """RFC 6238, at this moment."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.digest(key, struct.pack(">Q", int(time.time()) // 30), "sha1")
    number = struct.unpack_from(">I", digest, digest[-1] & 15)[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


def _post(site: Site, owner: httpx2.Client, url: str, values: dict[str, str]) -> None:
    page = owner.get(url)
    data = dict(_filled_in(page.text)) | values | _token(page.text)
    answer = owner.post(url, data=data, headers={"referer": f"{site.url}{url}"})
    site.keep(f"page after POST {url}", answer.content)


def _filled_in(html: str) -> Iterator[tuple[str, str]]:
    for tag in _FIELD.findall(html):
        named = re.search(r'\bname="([^"]+)"', tag)
        value = re.search(r'\bvalue="([^"]*)"', tag)
        is_box = 'type="checkbox"' in tag
        if named and (not is_box or "checked" in tag) and 'type="submit"' not in tag:
            yield unescape(named[1]), unescape(value[1]) if value else ("on" if is_box else "")


def _crawl(site: Site, owner: httpx2.Client, most: int) -> None:
    """Every page that links lead to, breadth first, as the owner sees it."""
    waiting, seen = ["/admin/", "/sign-in/account/"], set[str]()
    own = urlsplit(site.url).netloc
    while waiting and len(seen) < most:
        path = waiting.pop(0)
        if path in seen or any(word in path for word in _NEVER):
            continue
        seen.add(path)
        answer = owner.get(path)
        site.keep(f"page {path}", _whole(answer, answer.content))
        assert answer.status_code < 500, path
        for link in _LINK.findall(answer.text):
            target = urlsplit(urljoin(str(answer.url), unescape(link)))
            if target.netloc == own and target.path.startswith(("/admin/", "/sign-in/", "/api/")):
                waiting.append(target.path + (f"?{target.query}" if target.query else ""))
    for path in ("/metrics", "/readyz", "/livez", "/api/schema/",
                 "/admin/audit/auditevent/export/jsonl/", "/admin/audit/auditevent/export/csv/",
                 f"/admin/usage/requestlog/?q={site.secret('client key')}",
                 f"/admin/audit/auditevent/?q={site.secret('provider key')}"):  # fmt: skip
        answer = owner.get(path)
        if "q=" not in path:  # the page shows the search term to who typed it
            site.keep(f"page {path}", _whole(answer, answer.content))


def _commands(site: Site, *words: str) -> None:
    for word in words:
        site.manage(*word.split())
    time.sleep(1.2)  # spans and journals leave their processes within a second
