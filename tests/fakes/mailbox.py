"""A mail server on this machine (SMTP, RFC 5321, as much as a sender needs): it keeps what it is
sent and answers as it is told."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import NamedTuple


class Mail(NamedTuple):
    sender: str
    recipients: list[str]
    message: EmailMessage

    @property
    def text(self) -> str:
        part = self.message.get_body(("plain",))
        return part.get_content() if part is not None else ""

    @property
    def html(self) -> str:
        part = self.message.get_body(("html",))
        return part.get_content() if part is not None else ""


class MailServer:
    """`refusals` are answers to a message, used up one by one, such as "451 later"; an address of
    `unknown` is refused as a recipient."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.refusals: list[str] = []
        self.unknown: set[str] = set()
        server = self

        class Session(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                server._speak(self)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Session)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def _speak(self, session: socketserver.StreamRequestHandler) -> None:
        def say(text: str) -> None:
            session.wfile.write(f"{text}\r\n".encode())

        sender, recipients = "", list[str]()
        say("220 mail.test")
        while line := session.rfile.readline().decode("utf-8", "replace").strip():
            verb = line.upper()
            if verb.startswith(("EHLO", "HELO", "RSET", "NOOP")):
                say("250 mail.test")
            elif verb.startswith("MAIL FROM:"):
                sender, recipients = _address(line), []
                say("250 ok")
            elif verb.startswith("RCPT TO:"):
                recipients += [_address(line)] if _address(line) not in self.unknown else []
                say("550 nobody" if _address(line) in self.unknown else "250 ok")
            elif verb == "DATA":
                say("354 go on")
                content = _content(session)
                if self.refusals:
                    say(self.refusals.pop(0))
                    continue
                message = message_from_bytes(content, policy=policy.default)
                assert isinstance(message, EmailMessage)
                self.mails.append(Mail(sender, recipients, message))
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("502 what")

    @contextmanager
    def running(self) -> Iterator[MailServer]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join(5)


def _address(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]


def _content(session: socketserver.StreamRequestHandler) -> bytes:
    lines = []
    while (line := session.rfile.readline()) not in (b".\r\n", b""):
        lines.append(line[1:] if line.startswith(b"..") else line)
    return b"".join(lines)
