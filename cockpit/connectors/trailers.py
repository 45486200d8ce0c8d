"""A commit message from a forge: its subject, and the people and promises that its trailers name. Pure.

Git reads trailers itself (see git_parse); forges hand out whole messages, so its rule is applied here.
"""

from __future__ import annotations

import re

from msgspec import Struct

from cockpit.connectors.text import one_line, plain

MAX_VALUE = 1000
_TRAILER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]{0,99})[ \t]*:[ \t]*(.*)")
_GIT_MADE = ("Signed-off-by:", "(cherry picked from commit ")
_REVIEWERS = ("reviewed-by", "acked-by")
_CO_AUTHORS = ("co-authored-by",)
_ROLLBACK = ("rollback",)


class Said(Struct, frozen=True):
    """What a commit message says; all text is plain. `rollback` holds the values of its `Rollback:` trailers, one a line."""

    subject: str
    reviewers: tuple[str, ...] = ()
    co_authors: tuple[str, ...] = ()
    rollback: str = ""


def parse_message(message: str) -> Said:
    """A message of any form; what is no trailer is left out."""
    subject = one_line(message.strip().partition("\n\n")[0], MAX_VALUE)
    found = trailers(message)
    promises = [one_line(value, MAX_VALUE) for name, value in found if name in _ROLLBACK and value.strip()]
    return Said(subject, _people(found, _REVIEWERS), _people(found, _CO_AUTHORS), "\n".join(promises))


def trailers(message: str) -> tuple[tuple[str, str], ...]:
    """(name in lower case, value) from the last paragraph, where that is one of trailers; the first paragraph never is."""
    paragraphs = [p for p in re.split(r"\n[ \t]*\n", message.replace("\r\n", "\n").strip()) if p.strip()]
    if len(paragraphs) < 2:
        return ()
    found: list[tuple[str, str]] = []
    others, made = 0, False
    for line in paragraphs[-1].split("\n"):
        matched = _TRAILER.fullmatch(line)
        made = made or line.startswith(_GIT_MADE)
        if line[:1] in (" ", "\t") and found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
        elif matched:
            found.append((matched.group(1).lower(), matched.group(2)))
        else:
            others += 1
    # git's own rule: all of the lines, or a quarter of them where git itself made one
    if others and not (made and len(found) * 3 >= others):
        return ()
    return tuple(found)


def _people(found: tuple[tuple[str, str], ...], names: tuple[str, ...]) -> tuple[str, ...]:
    values = (plain(value.strip(), MAX_VALUE) for name, value in found if name in names)
    return tuple(dict.fromkeys(value for value in values if value))
