"""Text from outside made harmless: still text, but nothing a terminal, a bidi layout or a log would obey."""

from __future__ import annotations

import re

# C0 and C1 controls except newline and tab, DEL, line separators, and the marks that reorder what a reader sees
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_USERINFO = re.compile(r"(?<=://)[^/\s@?#]+@")


def plain(text: str, limit: int = 0) -> str:
    """`text` with control characters shown as U+FFFD; newline and tab stay. `limit` in characters, 0 = all of it."""
    if limit and len(text) > limit:
        text = text[: limit - 1] + "…"
    # most text is a harmless line, and asking that first takes a tenth of the search
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub("\ufffd", text)


def one_line(text: str, limit: int = 0) -> str:
    """`plain`, with newlines and tabs folded into single spaces."""
    return plain(" ".join(text.split()), limit)


def without_secrets(text: str, secrets: tuple[str, ...] = ()) -> str:
    """`text` without user names and passwords in addresses, and without each of `secrets`."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return _USERINFO.sub("***@", text)
