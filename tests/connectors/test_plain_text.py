from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cockpit.connectors.text import one_line, plain, without_secrets


def test_plain_keeps_text_and_shows_what_a_terminal_would_obey() -> None:
    assert plain("a\tb\nc é שלום 漢 <b>&amp;") == "a\tb\nc é שלום 漢 <b>&amp;"
    assert plain("\x1b[2J\x00\r\x7f\x9b") == "\ufffd[2J\ufffd\ufffd\ufffd\ufffd"
    assert plain("abc\u202edef\u2066") == "abc\ufffddef\ufffd"
    assert plain("\ud800") == "\ufffd"


@given(st.text(st.characters()), st.integers(1, 20))
def test_plain_is_bounded_and_can_be_written(text: str, limit: int) -> None:
    shown = plain(text, limit)
    assert len(shown) <= limit
    shown.encode()
    assert plain(shown) == shown


def test_one_line() -> None:
    assert one_line(" a\n\tb\x1b ") == "a b\ufffd"


def test_secrets() -> None:
    assert without_secrets("see https://me:pw@host/x?y=tok and tok", ("tok", "")) == "see https://***@host/x?y=*** and ***"
    assert without_secrets("mail me@host at http://host/a@b") == "mail me@host at http://host/a@b"
