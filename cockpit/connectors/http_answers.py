"""What an HTTP answer means: JSON into types, and refusals into domain errors. Pure: no network, no clock."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Struct

from cockpit.connectors.text import one_line, plain, without_secrets
from cockpit.domain.errors import AuthFailed, BadPayload, ConfigError, ConnectorError, NotFound, RateLimited, Rejected, Unreachable

T = TypeVar("T")

MAX_WAIT_S = 3600.0  # a server that asks for a longer silence than this is wrong or hostile
DEFAULT_WAIT_S = 5.0  # 429 without a usable Retry-After
ERROR_CHARS = 500
NOT_DONE_REDIRECTS = (301, 307, 308)  # these ask for the same request elsewhere; 302 and 303 may follow a finished write
HINT_INTERFACE = "The system speaks another version of the interface, or the address in the settings is not the interface's."
HINT_WAIT = "It is asked again by itself after that time."


class Answer(Struct, frozen=True):
    """What came back: `body` whole and decompressed, header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


# msgspec reads a type's fields when it first meets it, and crashes the process where two threads do that at once
_MEETING = threading.Lock()
_DECODERS: dict[object, msgspec.json.Decoder[Any]] = {}


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """The decoder of that type, made once. From any thread."""
    known = _DECODERS.get(kind)
    if known is None:
        with _MEETING:
            known = _DECODERS.setdefault(kind, msgspec.json.Decoder(kind))
    return known


def decode(body: bytes, kind: type[T]) -> T:
    """Typed JSON straight from bytes; BadPayload that names the place."""
    try:
        return decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        raise BadPayload(plain(f"The answer breaks the interface: {error}.", ERROR_CHARS), hint=HINT_INTERFACE) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        page = body[:200].lstrip()[:1] == b"<"
        what = "The answer is a web page, not JSON." if page else plain(f"The answer is not JSON: {error}.", ERROR_CHARS)
        hint = "The address may be wrong, or a login page stands before it." if page else HINT_INTERFACE
        raise BadPayload(what, hint=hint) from None


def said(answer: Answer, clean: Callable[[str], str]) -> tuple[str, str]:
    """(`: words of the server`, its hint) from an error body, as untrusted plain text.

    Understood are the bodies of the open APIs (title, message, hint) and what most systems use: message, error, detail or reason, one in
    the other or as a list, and a bare JSON string.
    """
    try:
        body = decoder(Any).decode(answer.body[: 256 * 1024])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "", ""
    words = ": ".join(_words(body, 3)).strip().rstrip(".")
    hint = body.get("hint") if isinstance(body, dict) else ""
    return (f": {clean(words)}" if words else ""), clean(hint) if isinstance(hint, str) else ""


def _words(value: Any, depth: int) -> list[str]:
    if isinstance(value, str):
        return [value.strip()] if value.strip() else []
    if depth and isinstance(value, list):
        return [words for item in value[:5] for words in _words(item, depth - 1)]
    if depth and isinstance(value, dict):
        found = [words for name in ("title", "message") for words in _words(value.get(name), depth - 1)]
        found = found or next(
            (words for name in ("error", "detail", "errors", "reason") if (words := _words(value.get(name), depth - 1))), []
        )
        # GitLab names what is wrong by field: {"message": {"base": ["Reference not found"]}}
        return found or ([words for item in list(value.values())[:5] for words in _words(item, depth - 1)] if depth < 3 else [])
    return []


def refusal(answer: Answer, name: str, clean: Callable[[str], str], now_s: float) -> ConnectorError:
    """The error that a status outside 2xx stands for, with the server's own words."""
    status = answer.status
    details, hint = said(answer, clean)
    words = f"{name} answered {status}{details}."
    # GitHub refuses with 403 who asks too often, and says so in these headers
    often = status == 403 and ("retry-after" in answer.headers or answer.headers.get("x-ratelimit-remaining") == "0")
    if status in (401, 403) and not often:
        return AuthFailed(words, hint=hint or "Enter a token with the needed rights for this connection.")
    if status == 429 or often or (status == 503 and "retry-after" in answer.headers):
        wait_s = retry_after_s(answer.headers.get("retry-after", ""), now_s)
        if "retry-after" not in answer.headers and answer.headers.get("x-ratelimit-reset", "").isdecimal():
            wait_s = min(MAX_WAIT_S, max(DEFAULT_WAIT_S, float(answer.headers["x-ratelimit-reset"][:15]) - now_s))
        return RateLimited(words, retry_after_s=wait_s, hint=hint or HINT_WAIT)
    if status == 404:
        return NotFound(words, hint=hint or "Check the name and the address in the settings.")
    if status >= 500:
        return Unreachable(words, hint=hint or "It may pass by itself; else look at the system's own log.")
    if status in NOT_DONE_REDIRECTS:
        return Rejected(words, hint="It lives at another address; enter that one in the settings.", status=status)
    if status < 400:
        return BadPayload(words, hint=hint or HINT_INTERFACE)
    return Rejected(words, hint=hint or "Change what is asked; sending the same again will not help.", status=status)


def retry_after_s(text: str, now_s: float) -> float:
    """Seconds to wait from a Retry-After header: a number or a date; bounded, and a default where it says nothing."""
    from email.utils import parsedate_to_datetime

    if text.strip().isdecimal():
        return min(MAX_WAIT_S, float(text))
    try:
        wait_s = parsedate_to_datetime(text).timestamp() - now_s
    except (ValueError, TypeError, OverflowError):
        return DEFAULT_WAIT_S
    return min(MAX_WAIT_S, max(0.0, wait_s))


def what_broke(error: Exception, answered: bool, sent: bool, late: bool) -> str:
    """What went wrong on the wire, in words that hold nothing of the request: no address, no header."""
    if answered:
        return "the answer took too long" if late else (str(error) if "cut off" in str(error) else "the answer broke off half-way")
    if sent:
        return "no answer came in time" if late else "the connection broke before an answer came"
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "its certificate is not trusted"
    if "refused" in text:
        return "the connection was refused"
    if "resolve" in text or "getaddrinfo" in text or "Name or service" in text:
        return "its name is not known on this network"
    return "no connection in time" if late else "no connection could be made"


def checked_address(base_url: str, ca_file: str = "") -> SplitResult:
    """The parts of a system's address; ConfigError where it is none, carries credentials, or the CA file is missing."""
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), 0
    shown = one_line(without_secrets(base_url), 200)
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise ConfigError(f"“{shown}” is no address of a system.", hint="It has the form https://host:port or https://host/path.")
    if "@" in parts.netloc:
        raise ConfigError(f"“{shown}” holds a user name or password.", hint="Leave them out; the token belongs into the keyring.")
    if ca_file and not os.path.isfile(ca_file):
        raise ConfigError(f"The CA file “{one_line(ca_file, 200)}” does not exist.", hint="Set `ca_file` to a PEM file, or leave it out.")
    return parts


def header_value(text: str, what: str) -> str:
    """`text` where a header can carry it; AuthFailed, without the text, where it cannot."""
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise AuthFailed(f"{what.capitalize()} has characters that cannot be sent.", hint="Enter it again, without spaces or line ends.")
    return text
