"""A person's word as an annotated tag: its name, its message, and back again. Pure; everything that is read is untrusted."""

from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct

from cockpit.connectors.text import one_line, plain
from cockpit.domain.statements import KINDS, Statement

VOTES = ("approve", "reject")
ROOTS = ("refs/tags/approvals", "refs/tags/words")
MAX_BYTES = 65_536  # a word is some lines; what is longer is not asked of gpg or ssh-keygen at all

_FORMAT = "release-cockpit/statement/1"
_MAX_PART = 150
_MAX_TEXT = 4_000
_TAGS = "refs/tags/"
_TAGGER = re.compile(r"tagger .*> (\d{1,12}) [+-]\d{4}")
_NUMBERED = re.compile(r"\.([2-9]|[1-9]\d{1,5})")
# as git looks for them: the last line that starts so begins the signature
_SIGNATURES = {
    "-----BEGIN SSH SIGNATURE-----": "ssh",
    "-----BEGIN PGP SIGNATURE-----": "openpgp",
    "-----BEGIN PGP MESSAGE-----": "openpgp",
    "-----BEGIN SIGNED MESSAGE-----": "x509",
}


class TagObject(Struct, frozen=True):
    """A tag object: what it points at, its own name, when it was made, its message, and the form of its signature ("" = none)."""

    target: str
    target_kind: str
    name: str
    at_s: int
    message: str
    form: str


class _Body(Struct, frozen=True, forbid_unknown_fields=True):
    """The content of the message, in the order in which a person reads it."""

    format: str
    kind: str
    service: str
    version: str
    environment: str
    commit: str
    digest: str
    who: str
    name: str
    reason: str
    at_us: int
    until_us: int
    about: str


_SHARED = tuple(name for name in _Body.__struct_fields__ if name != "format")


def ref_of(statement: Statement, number: int = 1) -> str:
    """Where that word is kept. `number`: the how manieth of that person about the same thing; from the second on it stands at the end."""
    s = statement
    if s.kind in VOTES:
        parts = ["approvals", s.service, s.version, s.environment, s.who]
    else:
        parts = ["words", s.kind, s.service, s.environment, s.version, s.who]
    return _TAGS + "/".join(_encoded(part) for part in parts) + (f".{number}" if number > 1 else "")


def number_of(ref: str, statement: Statement) -> int:
    """Which number of the person's words that ref is; 0 where it is no place for this word."""
    base = ref_of(statement)
    if ref == base:
        return 1
    found = _NUMBERED.fullmatch(ref.removeprefix(base)) if ref.startswith(base) else None
    return int(found.group(1)) if found else 0


def _encoded(part: str) -> str:
    """One component of a ref's name. Different texts give different names; only letters, digits and -_@+= . stay themselves."""
    text = quote(part.encode("utf-8", "replace"), safe="-_.@+=")
    text = text.replace("~", "%7E").replace("..", ".%2E")
    if text.startswith("."):
        text = "%2E" + text[1:]
    if text.endswith((".", ".lock")):
        head, _, tail = text.rpartition(".")
        text = f"{head}%2E{tail}"
    if len(text) > _MAX_PART:
        text = f"{text[:100]}%{hashlib.sha256(part.encode('utf-8', 'replace')).hexdigest()[:32]}"
    return text if text not in ("", "@") else f"%{text}"


def title_of(statement: Statement) -> str:
    """The first line of the message, for people who read it with plain git."""
    s = statement
    what = " ".join(one_line(part, 200) for part in (s.service, s.version) if part) or "every service"
    where = f" for {one_line(s.environment, 200)}" if s.environment else ""
    return f"{s.kind.capitalize()} {what}{where}"


def message_of(statement: Statement) -> bytes:
    """The whole message of the tag: a line for people, then the word as JSON."""
    content = {"format": _FORMAT, **{name: getattr(statement, name) for name in _SHARED}}
    body = msgspec.json.format(msgspec.json.encode(msgspec.convert(content, _Body)), indent=2)
    return title_of(statement).encode("utf-8", "replace") + b"\n\n" + body + b"\n"


def read_tag(raw: bytes) -> TagObject | None:
    """A tag object's content; None where it is none that we make."""
    head, _, rest = raw.decode("utf-8", "replace").partition("\n\n")
    lines = head.split("\n")
    if len(lines) != 4:
        return None
    values = [line.partition(" ")[2] for line in lines]
    made = _TAGGER.fullmatch(lines[3])
    if [line.partition(" ")[0] for line in lines[:3]] != ["object", "type", "tag"] or made is None:
        return None
    message, form = _split(rest)
    return TagObject(values[0], values[1], values[2], int(made.group(1)), message, form)


def _split(text: str) -> tuple[str, str]:
    """(the message, the form of the signature behind it)."""
    lines = text.split("\n")
    for number in range(len(lines) - 1, -1, -1):
        form = next((form for start, form in _SIGNATURES.items() if lines[number].startswith(start)), "")
        if form:
            return "\n".join([*lines[:number], ""]), form
    return text, ""


def read_message(message: str) -> Statement | None:
    """The word in a message; None where it is not exactly what `message_of` writes for it."""
    _, _, text = message.partition("\n\n")
    try:
        body = msgspec.json.decode(text, type=_Body)
        raw = Statement(**{name: getattr(body, name) for name in _SHARED})
        whole = message_of(raw).decode()
    except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError):
        return None
    if body.format != _FORMAT or body.kind not in KINDS or message != whole or not _sound(raw):
        return None
    cleaned: dict[str, Any] = {name: plain(getattr(raw, name), _MAX_TEXT) for name in _SHARED if isinstance(getattr(raw, name), str)}
    return msgspec.structs.replace(raw, **cleaned)


def _sound(statement: Statement) -> bool:
    s = statement
    bound = bool(s.commit and s.digest) or s.kind not in VOTES
    return bound and bool(s.who) and s.who == s.who.strip().lower() and 0 < s.at_us < 2**62 and 0 <= s.until_us < 2**62


def claimed(ref: str, why_not: str) -> Statement:
    """What a ref alone claims, as a word that counts for nothing."""
    parts = [plain(unquote(part), 200) for part in ref.removeprefix(_TAGS).split("/")]
    if parts[0] == "approvals" and len(parts) == 5:
        return Statement("approve", parts[1], parts[3], parts[2], "", "", parts[4], parts[4], "", 0, source="git", why_not=why_not)
    padded = [*parts[1:], "", "", "", "", ""]
    kind = padded[0] if padded[0] in KINDS else "approve"
    return Statement(kind, padded[1], padded[2], padded[3], "", "", padded[4], padded[4], "", 0, source="git", why_not=why_not)
