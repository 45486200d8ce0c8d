"""Notices by e-mail: plain text over SMTP that is always encrypted and verified."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from cockpit.connectors.ports import Message, Probe
from cockpit.connectors.text import one_line, plain, without_secrets
from cockpit.domain.errors import AuthFailed, CockpitError, ConfigError, ConnectorError, OutcomeUnknown, Rejected, Unreachable

if TYPE_CHECKING:
    import smtplib
    import ssl
    from email.message import EmailMessage

MAX_RECIPIENTS = 50
SUBJECT_CHARS = 200
TEXT_CHARS = 20_000
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_{|}~.-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})|[0-9A-Fa-f:]{2,45}")
_LINK = re.compile(r"https?://[!-~]{1,2000}")
_SETTINGS = "Correct it in the settings."


class Mail:
    """Notifier by SMTP, `security` starttls or tls. Blocks at most `deadline_s` seconds; one call at a time; ConnectorErrors only.

    It goes to all of `to` or to nobody. The same key gives the same Message-ID.
    """

    def __init__(self, options: dict[str, str], secret: Callable[[], str], timeout_s: float = 8.0, deadline_s: float = 25.0) -> None:
        self._host = options["host"]
        if not _HOST.fullmatch(self._host):
            raise ConfigError(f"host: “{one_line(self._host, 100)}” is none.", hint=_SETTINGS)
        security = options.get("security", "starttls")
        if security not in ("starttls", "tls"):
            raise ConfigError(f"security: “{one_line(security, 20)}” is none.", hint="It is starttls or tls; without, nothing is sent.")
        self._tls = security == "tls"
        port = options.get("port") or ("465" if self._tls else "587")
        if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
            raise ConfigError(f"port: “{one_line(port, 20)}” is none.", hint=_SETTINGS)
        self._port = int(port)
        self._sender = _address("sender", options["sender"])
        self._to = tuple(_address("to", part) for part in options["to"].split(",") if part.strip())
        if not 0 < len(self._to) <= MAX_RECIPIENTS:
            raise ConfigError(
                f"to: names {len(self._to)} people.", hint=f"1 to {MAX_RECIPIENTS}, separated by commas; a list's address does."
            )
        self._user = options.get("user", "")
        self._ca_file = options.get("ca_file", "")
        self._secret = secret
        self._timeout_s, self._deadline_s = timeout_s, deadline_s
        self._password = ""

    def close(self) -> None:
        """Nothing is held between calls."""

    def notify(self, message: Message, key: str) -> None:
        """Send one mail; once."""
        mail = as_mail(message, key, self._sender, self._to).as_bytes()
        handed = False
        with self._session() as smtp:
            try:
                self._envelope(smtp)
                handed = True
                code, words = smtp.data(mail)
            except _broken() as error:
                if handed and not _is_answer(error):
                    self._unknown(self._why(error))
                self._fail(error)
            if 400 <= code < 600:
                self._refused(code, words, "it does not take the mail")
            if code != 250:
                self._unknown(f"it answered {code}")
            with suppress(*_broken()):  # it is sent; how the talk ends changes nothing
                smtp.quit()

    def probe(self) -> Probe:
        """Whether it can be reached safely, and as whom; sends nothing."""
        with self._session() as smtp:
            try:
                code, words = smtp.noop()
                with suppress(*_broken()):
                    smtp.quit()
            except _broken() as error:
                self._fail(error)
            if code != 250:
                self._refused(code, words, "it serves nobody now")
        return Probe(f"mail server {self._host}", self._user)

    def _envelope(self, smtp: smtplib.SMTP) -> None:
        code, words = smtp.mail(self._sender)
        if code != 250:
            self._refused(code, words, f"it does not take mail from {self._sender}")
        for recipient in self._to:
            code, words = smtp.rcpt(recipient)
            if code not in (250, 251):
                self._refused(code, words, f"it does not take mail for {recipient}, so nobody got it")

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        """A connection that is encrypted, verified and logged in; it ends at the deadline whatever the server does."""
        import smtplib
        import ssl

        password = self._asked()
        try:
            context = ssl.create_default_context(cafile=self._ca_file or None)
        except OSError:
            raise Unreachable("The CA file cannot be read.", hint="Set `ca_file` to a PEM file, or leave it out.") from None
        # its own name is not looked up: that may take long and tells the server more than it needs
        options: dict[str, Any] = {"timeout": self._timeout_s, "local_hostname": "localhost"}
        smtp = smtplib.SMTP_SSL(context=context, **options) if self._tls else smtplib.SMTP(**options)
        # connect() alone leaves it empty, and TLS verifies against it
        smtp._host = self._host  # type: ignore[attr-defined]
        clock = threading.Timer(self._deadline_s, _cut, (smtp,))
        clock.daemon = True
        clock.start()
        try:
            self._opened(smtp, context, password)
            yield smtp
        finally:
            clock.cancel()
            smtp.close()
            clock.join()

    def _opened(self, smtp: smtplib.SMTP, context: ssl.SSLContext, password: str) -> None:
        try:
            code, words = smtp.connect(self._host, self._port)
            if code != 220:
                self._refused(code, words, "it serves nobody now")
            if not self._tls:
                code, words = smtp.starttls(context=context)
                if code != 220:
                    self._refused(code, words, "it offers no encryption")
            if self._user:
                smtp.login(self._user, password)
        except _broken() as error:
            self._fail(error)

    def _asked(self) -> str:
        if not self._user:
            return ""
        try:
            self._password = self._secret()
        except ConnectorError:
            raise
        except CockpitError as error:  # a locked keyring, say
            raise AuthFailed(error.message, hint=error.hint, title=error.title) from None
        if not self._password:
            raise AuthFailed("There is no password for the mail server.", hint="Enter it for this connection; it is kept in the keyring.")
        if not self._password.isascii() or "\0" in self._password:
            raise AuthFailed("The mail server's password has characters that cannot be sent.", hint="Enter it again.")
        return self._password

    def _fail(self, error: Exception) -> NoReturn:
        """Nothing was sent."""
        import smtplib
        import ssl

        if isinstance(error, smtplib.SMTPAuthenticationError) and error.smtp_code >= 500:
            raise AuthFailed(
                f"The mail server refuses the login: {self._words(error.smtp_error)}.", hint="Enter the password again."
            ) from None
        if isinstance(error, smtplib.SMTPResponseException) and error.smtp_code >= 400:
            self._refused(error.smtp_code, error.smtp_error, "it does not take the mail")
        if isinstance(error, smtplib.SMTPNotSupportedError):
            raise Rejected(f"The mail server does not offer that: {self._words(str(error))}.", hint="Check port and security.") from None
        hint = "Check host, port, security and, for a private authority, `ca_file`."
        if isinstance(error, ssl.SSLCertVerificationError):
            raise Unreachable("The mail server's certificate is not trusted; nothing was sent.", hint=hint) from None
        raise Unreachable(f"The mail server: {self._why(error)}.", hint=hint) from None

    def _refused(self, code: int, words: bytes | str, what: str) -> NoReturn:
        said = f"The mail server answered {code}, {what}: {self._words(words)}."
        if code in (530, 535):
            raise AuthFailed(said, hint="Enter user and password for this connection.") from None
        if 400 <= code < 500:
            raise Unreachable(said, hint="It may pass by itself; nothing was sent.") from None
        if not 500 <= code < 600:
            raise Unreachable(f"{said[:-1]}; that is no answer of a mail server.", hint="Check host, port and security.") from None
        raise Rejected(said, hint="Its own words say what to change; nothing was sent.", status=code) from None

    def _unknown(self, why: str) -> NoReturn:
        hint = "Look whether it arrived before it is sent again."
        raise OutcomeUnknown(f"The mail server got the mail, and whether it took it is not known: {why}.", hint=hint) from None

    def _why(self, error: Exception) -> str:
        if isinstance(error, TimeoutError) or "timed out" in str(error):
            return "no answer in time"
        if isinstance(error, ConnectionRefusedError):
            return "the connection was refused"
        return self._words(str(error)) or "the connection broke"

    def _words(self, words: bytes | str) -> str:
        text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
        return without_secrets(one_line(text, 300), (self._password,)).rstrip(".")


def as_mail(message: Message, key: str, sender: str, to: tuple[str, ...]) -> EmailMessage:
    """The mail: plain text; whatever stands in the message stays inside its header or the body."""
    from email.message import EmailMessage
    from email.policy import SMTP
    from email.utils import formatdate

    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = one_line(message.title, SUBJECT_CHARS) or "Release Cockpit"
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Date"] = formatdate(min(max(message.at_us, 0), 4_000_000_000_000_000) / 1e6)
    mail["Message-ID"] = f"<{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()[:40]}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    facts = (("Service", message.service), ("Version", message.version), ("Environment", message.environment))
    lines = [plain(message.text, TEXT_CHARS), "", *(f"{name}: {one_line(value, 200)}" for name, value in facts if value)]
    if _LINK.fullmatch(message.link):
        lines.append(message.link)
    mail.set_content("\n".join(lines) + "\n")
    return mail


def _address(field: str, text: str) -> str:
    if not _ADDRESS.fullmatch(text.strip()):
        raise ConfigError(
            f"{field}: “{one_line(text, 100)}” is no e-mail address.", hint="It has the form name@example.org, without a name before."
        )
    return text.strip()


def _broken() -> tuple[type[Exception], ...]:
    """What smtplib raises where the talk breaks or the server refuses."""
    import smtplib

    # ValueError: the socket was closed under it, or a line that it cannot read
    return smtplib.SMTPException, OSError, ValueError


def _is_answer(error: Exception) -> bool:
    """The server refused before it got the mail's text."""
    import smtplib

    return isinstance(error, smtplib.SMTPDataError)


def _cut(smtp: smtplib.SMTP) -> None:
    import socket

    with suppress(OSError, AttributeError):  # it ended just now
        smtp.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
