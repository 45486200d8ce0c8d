"""The contract suite on what tells people: a chat's webhook, a signed webhook and mail, each with a real receiver on loopback."""

from __future__ import annotations

import email
import email.policy
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from cockpit.connectors import webhook
from cockpit.connectors.mail import Mail, as_mail
from cockpit.connectors.ports import Message
from cockpit.connectors.webhook import SignedWebhook, SlackWebhook
from cockpit.contract.notifier import NotifierContract, NotifierWorld
from tests.connectors.test_mail import PASSWORD, SENDER, MailServer
from tests.fakes.certificate import write_certificate
from tests.fakes.gate import Gate

PATH = "T000/B000/canary-Secret_8"
KEY = "canary signing key 8"
DEADLINE_S = 5.0


class Receiver(ThreadingHTTPServer):
    """Takes what is posted; `arrived` has headers and the decoded body of each. `refuses`: answers 422."""

    daemon_threads = False

    def __init__(self) -> None:
        self.arrived: list[str] = []
        self.refuses = False
        super().__init__(("127.0.0.1", 0), _Taker)


class _Taker(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.server.refuses:
            words = "\n".join(str(value) for value in body.values())
            self.server.arrived.append(f"{self.headers}\n{words}")
        self._answer(422 if self.server.refuses else 200, b"ok")

    def do_GET(self) -> None:
        self._answer(405, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def chat(url: str) -> SlackWebhook:
    return SlackWebhook(f"{url}/services", lambda: PATH)


def signed(url: str) -> SignedWebhook:
    return SignedWebhook(f"{url}/notices", lambda: KEY)


@pytest.mark.parametrize(("make", "secret"), [(chat, PATH), (signed, KEY)], ids=["chat", "signed"], scope="class")
class TestWebhooks(NotifierContract):
    @pytest.fixture
    def world(
        self, make: Callable[[str], Any], secret: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[NotifierWorld]:
        monkeypatch.setattr(webhook, "_LIMITS", structs.replace(webhook._LIMITS, read_timeout_s=1.0))
        with Gate(receiver.server_address[1]) as gate, closing(make(gate.url)) as connector:

            def heal() -> None:
                receiver.refuses = False
                gate.heal()

            yield NotifierWorld(
                connector=connector,
                secret=secret,
                deadline_s=DEADLINE_S,
                received=lambda: receiver.arrived,
                refuse=lambda: setattr(receiver, "refuses", True),
                forbid=gate.forbid,
                cut=gate.cut,
                hang=gate.hang,
                lose=gate.lose,
                heal=heal,
            )


def readable(body: bytes) -> str:
    mail = email.message_from_bytes(body, policy=email.policy.default)
    return "\n".join(f"{name}: {value}" for name, value in mail.items()) + "\n\n" + mail.get_content()


def message_id(key: str) -> str:
    return str(as_mail(Message("verdict", "t", "x"), key, SENDER, (SENDER,))["Message-ID"])


class TestMail(NotifierContract):
    @pytest.fixture(params=["starttls", "tls"])
    def world(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NotifierWorld]:
        certificate = write_certificate(tmp_path / "certificate.pem")
        server = MailServer(certificate, request.param == "tls")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        options = {"host": "127.0.0.1", "port": str(server.server_address[1]), "sender": SENDER, "to": SENDER, "user": "releases"}
        options |= {"security": request.param, "ca_file": str(certificate)}
        with ExitStack() as stack:
            stack.callback(thread.join)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            stack.callback(server.over.set)
            connector = stack.enter_context(closing(Mail(options, lambda: PASSWORD, timeout_s=1.0, deadline_s=3.0)))
            yield NotifierWorld(
                connector=connector,
                secret=PASSWORD,
                deadline_s=6,
                identity="releases",
                received=lambda: [readable(body) for body in server.mails],
                form=message_id,
                refuse=lambda: server.says.update({"MAIL": "550 not from you"}),
                forbid=lambda: server.says.update({"AUTH": f"535 {PASSWORD} is wrong"}),
                hang=lambda: server.says.update({"greeting": "hang"}),
                lose=lambda: server.says.update({"body": "drop"}),
                heal=server.says.clear,
            )
