"""Text that forges hand out as it was written: commit messages with trailers, moments, logs. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from cockpit.connectors.git_parse import Tag, versions_of
from cockpit.connectors.text import one_line, plain
from cockpit.connectors.wire_values import LAST_US
from cockpit.domain.errors import BadPayload
from cockpit.domain.release import Commit, Service, Version, parse_tag

MAX_VALUE = 1000
LOG_CHARS = 200_000
_TRAILER = re.compile(r"([A-Za-z0-9-]+)[ \t]*:[ \t]*(.*)")
_PARAGRAPHS = re.compile(r"\r?\n[ \t]*\r?\n")
_OWN = ("signed-off-by", "cherry picked from commit")  # git's own lines make a paragraph of trailers even where prose is mixed in
# colours, cursor movements, and the marks GitLab puts around the sections of a log
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|section_(?:start|end):\d+:[^\r\n]*\r")
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class Trailers(Struct, frozen=True):
    """What the trailers of a commit message say, with the meaning that git_parse gives them."""

    reviewers: tuple[str, ...] = ()
    co_authors: tuple[str, ...] = ()
    rollback: str = ""


def trailers(message: str) -> Trailers:
    """The Reviewed-by, Acked-by, Co-authored-by and Rollback trailers of a commit message; the subject is never one."""
    found = _values(message)
    people = {name: _people(v for key, v in found if key in keys) for name, keys in _PEOPLE.items()}
    rollback = "\n".join(one_line(value, MAX_VALUE) for key, value in found if key == "rollback" and value)
    return Trailers(people["reviewers"], people["co_authors"], rollback)


_PEOPLE = {"reviewers": ("reviewed-by", "acked-by"), "co_authors": ("co-authored-by",)}


def _people(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one_line(value, MAX_VALUE) for value in values if value))


def _values(message: str) -> list[tuple[str, str]]:
    """(key in lower case, unfolded value) of the last paragraph, where that is one of trailers."""
    paragraphs = _PARAGRAPHS.split(message.replace("\r\n", "\n").strip())
    if len(paragraphs) < 2:
        return []
    found: list[tuple[str, str]] = []
    others = 0
    for line in paragraphs[-1].split("\n"):
        matched = _TRAILER.fullmatch(line)
        if matched is not None:
            found.append((matched.group(1).lower(), matched.group(2).strip()))
        elif line[:1] in (" ", "\t") and found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
        else:
            others += 1
    own = any(mark in paragraphs[-1].lower() for mark in _OWN)
    return found if not others or (own and len(found) * 3 >= others) else []


def commit(object_id: str, message: str, who: tuple[str, str], at_us: int, files: tuple[str, ...] = ()) -> Commit:
    """A commit from its whole message; `who` is (name, e-mail) of the author."""
    said = trailers(message)
    return Commit(
        id=object_id,
        author=one_line(who[0], MAX_VALUE),
        email=one_line(who[1], MAX_VALUE),
        at_us=at_us,
        subject=one_line(_PARAGRAPHS.split(message.strip(), maxsplit=1)[0], MAX_VALUE),
        reviewers=said.reviewers,
        co_authors=said.co_authors,
        files=files,
        rollback=said.rollback,
    )


def moment_us(text: str | None) -> int:
    """Microseconds UTC of an ISO 8601 moment, 0 for none and for years before 1970; BadPayload for what is none or tells no zone."""
    if not text:
        return 0
    try:
        at = datetime.fromisoformat(text)
        since = at - _EPOCH
    except (ValueError, TypeError, OverflowError):  # TypeError: without a zone it cannot be compared
        what = f"“{one_line(text, 60)}” is no moment with a time zone."
        raise BadPayload(what, hint="The system speaks another version of the interface.") from None
    return max(0, min(LAST_US, (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds))


def log_tail(text: str) -> str:
    """A log as plain text: without colours and marks, its last 200,000 characters."""
    return plain(_CONTROLS.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))[-LOG_CHARS:]


def filled(pattern: str, **names: str) -> str:
    """The pattern with `{service}`, `{environment}`, `{version}` and so on filled in, each once and nothing in what was filled in."""
    return re.sub(r"\{([a-z_]+)\}", lambda found: names.get(found.group(1), found.group()), pattern)


def version_of(ref: str, service: str, pattern: str) -> str:
    """The version that a tag or branch names for this service, "" where it names none or another service's."""
    parsed = parse_tag(ref, pattern)
    return parsed.name if parsed is not None and (pattern or parsed.prefix in ("", service)) else ""


def foreign(ref: str, service: str, pattern: str) -> bool:
    """Whether a ref is a version of another service in the same repository."""
    parsed = parse_tag(ref)
    return version_of(ref, service, pattern) == "" and parsed is not None and parsed.prefix not in ("", service)


def tag_pattern(service: Service, pattern: str) -> str:
    """The service's own pattern, else the connection's with the service filled in."""
    return service.tag_pattern or filled(pattern, service=service.name)


def versions(tags: Iterable[Tag], service: Service, pattern: str) -> tuple[Version, ...]:
    """The service's versions among these tags, newest first; `pattern` where the service has none of its own."""
    chosen = Service(name=service.name, tag_pattern=tag_pattern(service, pattern))
    return versions_of(tags, chosen)
