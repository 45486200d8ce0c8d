"""Notices by mail against a real SMTP server on loopback: encrypted, verified, logged in, sent once, with nothing injected."""

from __future__ import annotations

import base64
import email
import email.policy
import socketserver
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.connectors.mail import Mail, as_mail
from cockpit.connectors.ports import Message, Notifier
from cockpit.domain.errors import AuthFailed, ConfigError, ConnectorError, OutcomeUnknown, Rejected, Unreachable
from tests.fakes.certificate import write_certificate

PASSWORD = "canary-Password-7"
SENDER, ANN, BEN = "releases@playground.invalid", "ann@playground.invalid", "ben@playground.invalid"
MESSAGE = Message(
    kind="rollback",
    title="order-gateway goes back to 1.1.0 — now",
    text="Too many errors.\n.\nQUIT\n.hidden",
    link="https://cockpit.invalid/a?b=1",
    service="order-gateway",
    environment="production",
    version="1.1.0",
    at_us=1_800_000_000_000_000,
)


class _Handler(socketserver.StreamRequestHandler):
    """Speaks SMTP as far as the tests need. `server.says[VERB]` replaces an answer: a line, or "drop" or "hang"."""

    server: MailServer
    timeout = 10.0

    def handle(self) -> None:
        try:
            if self.server.implicit:
                self._secure()
            if self._say("greeting", "220 ready"):
                while (line := self.rfile.readline()) and self._serve(line.decode("latin-1").strip()):
                    pass
        except (OSError, ValueError):
            return  # the client gave up, as many tests want it to

    def finish(self) -> None:
        for stream in (self.rfile, self.wfile, self.request):
            stream.close()

    def _secure(self) -> None:
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        self.rfile.close()
        self.wfile.close()
        self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb")
        self.server.secured += 1

    def _say(self, verb: str, usual: str) -> bool:
        """False where the connection is over."""
        said = self.server.says.get(verb, usual)
        if said == "hang":
            self.server.over.wait(10)
            return False
        if said == "trickle":
            while not self.server.over.wait(0.02):
                self.wfile.write(b"2")
                self.wfile.flush()
            return False
        if said == "drop":
            return False
        self.wfile.write(said.encode() + b"\r\n")
        self.wfile.flush()
        return True

    def _serve(self, line: str) -> bool:
        verb = line.split(" ")[0].upper()
        self.server.lines.append(verb + line[len(verb) :])
        if verb == "EHLO":
            secured = self.request is not None and isinstance(self.request, ssl.SSLSocket)
            return self._say(verb, "250-here\r\n250 AUTH PLAIN" if secured else "250-here\r\n250 STARTTLS")
        if verb == "STARTTLS":
            if not self._say(verb, "220 go ahead"):
                return False
            if "STARTTLS" not in self.server.says:
                self._secure()
            return True
        if verb == "AUTH":
            user, password = base64.b64decode(line.split(" ")[2]).decode().split("\0")[1:]
            return self._say(verb, "235 welcome" if (user, password) == ("releases", PASSWORD) else f"535 {password} is wrong")
        if verb == "DATA":
            return self._data()
        if verb == "QUIT":
            self._say(verb, "221 bye")
            return False
        full = self.server.lines[-1]
        return self._say(full if full in self.server.says else verb, "250 fine")

    def _data(self) -> bool:
        if not self._say("DATA", "354 go on") or "DATA" in self.server.says:
            return "DATA" in self.server.says
        body = b""
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            body += line.removeprefix(b".")
        self.server.mails.append(body)
        return self._say("body", "250 taken")


class MailServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = False
    block_on_close = True

    def __init__(self, certificate: Path, implicit: bool) -> None:
        self.implicit = implicit
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.says: dict[str, str] = {}
        self.lines: list[str] = []
        self.mails: list[bytes] = []
        self.secured = 0
        self.over = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return write_certificate(tmp_path / "certificate.pem")


@pytest.fixture
def serving(certificate: Path) -> Iterator[Callable[[bool], MailServer]]:
    made: list[tuple[MailServer, threading.Thread]] = []

    def start(implicit: bool = False) -> MailServer:
        server = MailServer(certificate, implicit)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        made.append((server, thread))
        return server

    yield start
    for server, thread in made:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server(serving: Any) -> MailServer:
    made: MailServer = serving()
    return made


def mail_to(server: MailServer, certificate: Path | None, password: str = PASSWORD, deadline_s: float = 10.0, **more: str) -> Mail:
    options = {"host": "127.0.0.1", "port": str(server.server_address[1]), "sender": SENDER, "to": f"{ANN}, {BEN}", "user": "releases"}
    options |= {"security": "tls" if server.implicit else "starttls", "ca_file": str(certificate or "")}
    return Mail(options | more, lambda: password, timeout_s=0.5, deadline_s=deadline_s)


# -- what arrives --


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "tls"])
def test_a_mail_arrives_encrypted(serving: Any, certificate: Path, implicit: bool) -> None:
    server = serving(implicit)
    mail = mail_to(server, certificate)
    assert isinstance(mail, Notifier)
    mail.notify(MESSAGE, "key-1")
    mail.notify(MESSAGE, "key-1")
    first, second = (email.message_from_bytes(body, policy=email.policy.default) for body in server.mails)
    assert first["Subject"] == MESSAGE.title
    assert (first["From"], first["To"]) == (SENDER, f"{ANN}, {BEN}")
    assert first["Date"].datetime.timestamp() == 1_800_000_000
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["Message-ID"] == second["Message-ID"]
    assert first.get_content_type() == "text/plain"
    assert first.get_content().splitlines()[:4] == ["Too many errors.", ".", "QUIT", ".hidden"]
    assert MESSAGE.link in first.get_content()
    assert server.secured == 2
    spoken = " ".join(line.split(" ")[0] for line in server.lines)
    assert spoken.startswith("EHLO AUTH MAIL RCPT RCPT DATA QUIT" if implicit else "EHLO STARTTLS EHLO AUTH MAIL RCPT RCPT DATA QUIT")
    assert [line for line in server.lines if line.startswith("RCPT")][:2] == [f"RCPT TO:<{ANN}>", f"RCPT TO:<{BEN}>"]


def test_without_a_user_nobody_logs_in(server: MailServer, certificate: Path) -> None:
    mail_to(server, certificate, password="", user="").notify(MESSAGE, "k")
    assert not [line for line in server.lines if line.startswith("AUTH")]
    assert len(server.mails) == 1


def test_a_test_of_the_connection_sends_nothing(server: MailServer, certificate: Path) -> None:
    found = mail_to(server, certificate).probe()
    assert (found.reached, found.identity) == ("mail server 127.0.0.1", "releases")
    assert server.mails == []
    assert not [line for line in server.lines if line.startswith("MAIL")]


# -- nothing is injected --


def test_a_title_stays_in_its_header() -> None:
    hostile = Message(
        "verdict", "x\r\nBcc: eve@evil.invalid\r\n\r\nbody", "t", "https://a.invalid\r\nBcc: x", "s\r\nBcc: y", "e\u2028", "v\0"
    )
    made = email.message_from_bytes(as_mail(hostile, "k\r\nBcc: z", SENDER, (ANN,)).as_bytes(), policy=email.policy.default)
    assert made["Bcc"] is None
    assert made["Subject"] == "x Bcc: eve@evil.invalid body"
    assert "https://a.invalid" not in made.get_content()


@given(st.text(), st.text(), st.text(), st.text(), st.integers())
def test_any_text_becomes_one_mail(title: str, text: str, link: str, key: str, at_us: int) -> None:
    message = Message("verdict", title, text, link, title, title, title, at_us)
    made = email.message_from_bytes(as_mail(message, key, SENDER, (ANN,)).as_bytes(), policy=email.policy.default)
    names = {"subject", "from", "to", "date", "message-id", "auto-submitted", "content-type", "content-transfer-encoding", "mime-version"}
    assert {name.lower() for name in made} == names
    assert made["To"] == ANN
    assert not made.defects


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": ""},
        {"to": "ann"},
        {"to": f"{ANN}\nBcc: x@y.z"},
        {"to": "a@b.c>\r\nRCPT TO:<x@y.z"},
        {"sender": "Ann <a@b.c>"},
        {"host": "a b"},
        {"host": ""},
        {"port": "0"},
        {"port": "smtp"},
        {"security": "none"},
        {"to": ",".join(f"a{n}@b.c" for n in range(60))},
    ],
)
def test_settings_that_are_none(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        Mail({"host": "127.0.0.1", "sender": SENDER, "to": ANN} | wrong, str)


# -- refusals and faults --


def fails(kind: type[ConnectorError], mail: Mail) -> str:
    with pytest.raises(kind) as caught:
        mail.notify(MESSAGE, "k")
    assert type(caught.value) is kind
    assert caught.value.hint
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    return caught.value.message


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "tls"])
def test_an_unknown_certificate_gets_nothing(serving: Any, certificate: Path, implicit: bool) -> None:
    server = serving(implicit)
    assert "not trusted" in fails(Unreachable, mail_to(server, None))
    fails(Unreachable, mail_to(server, certificate, host="localhost"))  # the certificate is another name's
    assert not [line for line in server.lines if not line.startswith(("EHLO", "STARTTLS"))]


def test_without_encryption_nothing_is_sent(server: MailServer, certificate: Path) -> None:
    server.says["EHLO"] = "250-here\r\n250 AUTH PLAIN"
    assert "STARTTLS" in fails(Rejected, mail_to(server, certificate))
    server.says = {"STARTTLS": "454 not now"}
    fails(Unreachable, mail_to(server, certificate))
    assert {line.split(" ")[0] for line in server.lines} <= {"EHLO", "STARTTLS"}


def test_a_wrong_password_is_said_without_it(server: MailServer, certificate: Path) -> None:
    assert "***" in fails(AuthFailed, mail_to(server, certificate, "canary-Wrong"))
    fails(AuthFailed, mail_to(server, certificate, ""))
    fails(AuthFailed, mail_to(server, certificate, "ä"))


@pytest.mark.parametrize(
    ("verb", "answer", "kind"),
    [
        ("greeting", "554 go away", Rejected),
        ("greeting", "421 busy", Unreachable),
        ("greeting", "drop", Unreachable),
        ("greeting", "hang", Unreachable),
        ("greeting", "HTTP/1.1 400 Bad Request", Unreachable),
        ("AUTH", "454 later", Unreachable),
        ("MAIL", "550 not you", Rejected),
        ("MAIL", "530 log in", AuthFailed),
        (f"RCPT TO:<{BEN}>", "550 no such person", Rejected),
        ("RCPT", "450 later", Unreachable),
        ("RCPT", "drop", Unreachable),
        ("DATA", "554 no", Rejected),
        ("body", "552 too long", Rejected),
        ("body", "451 later", Unreachable),
        ("body", "200 what", OutcomeUnknown),
        ("body", "words", OutcomeUnknown),
        ("body", "drop", OutcomeUnknown),
        ("body", "hang", OutcomeUnknown),
    ],
)
def test_each_refusal_and_fault(server: MailServer, certificate: Path, verb: str, answer: str, kind: type[ConnectorError]) -> None:
    server.says[verb] = answer
    words = fails(kind, mail_to(server, certificate))
    assert BEN in words or "RCPT TO" not in verb
    assert len(server.mails) == (verb == "body")


def test_a_trickle_ends_at_the_deadline(server: MailServer, certificate: Path) -> None:
    server.says["greeting"] = "trickle"
    fails(Unreachable, mail_to(server, certificate, deadline_s=0.5))


def test_what_follows_a_taken_mail_changes_nothing(server: MailServer, certificate: Path) -> None:
    server.says["QUIT"] = "drop"
    mail_to(server, certificate).notify(MESSAGE, "k")
    assert len(server.mails) == 1


def test_nobody_listens(closed_port: int) -> None:
    mail = Mail({"host": "127.0.0.1", "port": str(closed_port), "sender": SENDER, "to": ANN}, str)
    assert "refused" in fails(Unreachable, mail)
    with pytest.raises(Unreachable):
        mail.probe()
