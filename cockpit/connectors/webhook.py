"""Notices by HTTP: to a chat that takes Slack's incoming webhooks, and to any receiver, signed.

What is told comes partly from outside: in a chat it can mention nobody and hide no address behind other words.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from cockpit.connectors.http import HttpClient, Limits, Pace
from cockpit.connectors.ports import Message, Probe
from cockpit.connectors.text import one_line, plain, without_secrets
from cockpit.domain.errors import AuthFailed, BadPayload, CockpitError, ConfigError, ConnectorError, NotFound, OutcomeUnknown, Rejected

SIGNATURE = "Release-Cockpit-Signature"
TITLE_CHARS = 200
TEXT_CHARS = 2500  # a chat shows about 3000 before it folds
LINK_CHARS = 2000
_LIMITS = Limits(connect_timeout_s=3.0, read_timeout_s=8.0, deadline_s=15.0, body_bytes=64 * 1024, retries=0)
_SECRET_PATH = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_ENTER = "Enter it for this connection; it is kept in the keyring."
Secret = Callable[[], str]


class SlackWebhook:
    """Notifier to a chat. Blocks at most 15 s; one call at a time; ConnectorErrors only.

    Such an address holds a secret: `url` is its part before that, and the secret the rest, as in T000/B000/XXXX.
    """

    def __init__(self, url: str, secret: Secret, ca_file: str = "") -> None:
        self._client = HttpClient(url, name="The chat", limits=_LIMITS, ca_file=ca_file)
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            raise ConfigError("url: the secret would travel readable for everybody.", hint="Use the https address.")
        self._host = parts.netloc
        self._secret = secret

    def close(self) -> None:
        """Close kept connections."""
        self._client.close()

    def notify(self, message: Message, key: str) -> None:
        """Post it; sent once."""
        secret = _asked(self._secret)
        try:
            answer = self._client.write(_path(secret), slack_body(message), bytes, key)
        except ConnectorError as error:
            raise _cleaned(error, secret) from None
        parse_slack(answer)

    def probe(self) -> Probe:
        """Whether something answers there; only a notice itself would tell whether the secret is right."""
        secret = _asked(self._secret)
        try:
            missing = _reached(self._client, _path(secret))
        except ConnectorError as error:
            raise _cleaned(error, secret) from None
        return Probe(f"chat at {one_line(self._host, 200)}", missing=missing if secret else (*missing, "the secret part of the address"))


class SignedWebhook:
    """Notifier to any receiver: JSON, signed. Blocks at most 15 s; one call at a time; ConnectorErrors only.

    The header Release-Cockpit-Signature is `t=SECONDS,v1=HEX`: HMAC-SHA256 with the connection's secret over `SECONDS.BODY`.
    """

    def __init__(self, url: str, secret: Secret, ca_file: str = "", now_s: Callable[[], float] = time.time) -> None:
        self._client = HttpClient(url, name="The receiver of notices", limits=_LIMITS, ca_file=ca_file, pace=Pace(now=now_s))
        self._host = urlsplit(url).netloc
        self._secret = secret
        self._now_s = now_s

    def close(self) -> None:
        """Close kept connections."""
        self._client.close()

    def notify(self, message: Message, key: str) -> None:
        """Post it; sent once. Any 2xx answer counts."""
        secret = _asked(self._secret)
        if not secret:
            raise AuthFailed("There is no secret to sign notices with.", hint=_ENTER)
        body = webhook_body(message, key)
        try:
            self._client.write("", body, bytes, key, headers={SIGNATURE: signature(secret, int(self._now_s()), body)})
        except ConnectorError as error:
            raise _cleaned(error, secret) from None

    def probe(self) -> Probe:
        """Whether something answers there."""
        missing = _reached(self._client, "")
        secret = _asked(self._secret)
        return Probe(f"receiver at {one_line(self._host, 200)}", missing=missing if secret else (*missing, "the secret to sign with"))


def signature(secret: str, at_s: int, body: bytes) -> str:
    """The signature's header for a body sent at that Unix time."""
    code = hmac.new(secret.encode("utf-8", "replace"), b"%d." % at_s + body, hashlib.sha256)
    return f"t={at_s},v1={code.hexdigest()}"


def webhook_body(message: Message, key: str) -> bytes:
    """The message's fields and its key as JSON."""
    bounded = msgspec.structs.replace(
        message, title=one_line(message.title, TITLE_CHARS), text=plain(message.text, TEXT_CHARS), link=safe_link(message.link)
    )
    fields = {name: plain(value) if isinstance(value, str) else value for name, value in msgspec.structs.asdict(bounded).items()}
    return msgspec.json.encode(fields | {"key": key})


def slack_body(message: Message) -> dict[str, object]:
    """What a chat shows: text alone, which can format, mention and unfurl nothing."""
    where = " ".join(part for part in (message.service, message.version, message.environment) if part)
    lines = (chat_text(one_line(message.title, TITLE_CHARS)), chat_text(one_line(where, TITLE_CHARS)))
    text = (*lines, chat_text(plain(message.text, TEXT_CHARS)), safe_link(message.link).replace("&", "&amp;"))
    shown = "\n".join(part for part in text if part)
    return {"text": shown, "mrkdwn": False, "link_names": False, "unfurl_links": False, "unfurl_media": False}


def chat_text(text: str) -> str:
    """`text` where nothing is a mention, an entity or a link with other words."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # some chats read @all and [words](address) in plain text as well: a space without width parts them
    return escaped.replace("@", "@\u200b").replace("](", "]\u200b(").replace("][", "]\u200b[")


def safe_link(link: str) -> str:
    """The link where it is one of http(s) and could hide nothing, "" otherwise."""
    try:
        parts = urlsplit(link)
    except ValueError:
        return ""
    odd = not link.isascii() or not link.isprintable() or len(link) > LINK_CHARS or any(c in link for c in " <>|\"'`\\[]()")
    return "" if odd or parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc else link


def parse_slack(body: bytes) -> None:
    """Nothing for an answer that says yes: "ok", none, or JSON with ok or success. Rejected for no, OutcomeUnknown for anything else."""
    text = body[:10_000].strip()
    if text.lower() in (b"", b"ok"):
        return
    try:
        said = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        said = None
    agreed = said.get("ok", said.get("success")) if isinstance(said, dict) else None
    if agreed is True:
        return
    if agreed is False:
        why = one_line(str(said.get("error", "")), 200)
        raise Rejected(f"The chat refused it{f': {why}' if why else ''}.", hint="Check the secret part of the address, and the channel.")
    raise OutcomeUnknown("The chat answered something else than a chat does.", hint="Look into the channel, and check the address.")


def _asked(secret: Secret) -> str:
    try:
        return secret()
    except ConnectorError:
        raise
    except CockpitError as error:  # a locked keyring, say
        raise AuthFailed(error.message, hint=error.hint, title=error.title) from None


def _path(secret: str) -> str:
    if not secret:
        return ""
    if not _SECRET_PATH.fullmatch(secret.strip("/")):
        raise AuthFailed(
            "The secret part of the address is none.", hint="It looks like T000/B000/XXXX: letters, digits, _ and - between /."
        )
    return "/" + secret.strip("/")


def _reached(client: HttpClient, path: str) -> tuple[str, ...]:
    """What to doubt, where something answers a question at a place that only takes notices."""
    try:
        client.get_answer(path)
    except NotFound:
        return ("certainty: it answers “not found” to a question, and only a notice would tell more",)
    except Rejected:
        return ()
    except BadPayload as error:
        if "another place" in error.message or "circle" in error.message:
            raise
    return ()


def _cleaned(error: ConnectorError, secret: str) -> ConnectorError:
    """The error without the secret, should the other side have repeated it."""
    parts = (secret, secret.strip("/"))
    error.message, error.hint = without_secrets(error.message, parts), without_secrets(error.hint, parts)
    error.args = (error.message,)
    return error
