"""Words as tags: whatever a person writes comes back as it was, and no text becomes anything but a plain name."""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cockpit.connectors.git_word import VOTES, claimed, message_of, number_of, read_message, read_tag, ref_of, title_of
from cockpit.connectors.text import plain
from cockpit.domain.statements import KINDS, Statement

WORD = Statement("approve", "gateway", "production", "1.8.0", "c" * 40, "d" * 64, "ada@x.org", "Ada", "looks right", 1_790_000_000_000_000)
NASTY = [
    "",
    ".",
    "..",
    "@",
    "a/b",
    "a..b",
    ".a",
    "a.",
    "a.lock",
    "~^:?*[\\",
    "@{0}",
    "-x",
    "%2E",
    "ü",
    "\x00\n\t",
    "a" * 400,
    "bob.2",
    " ",
    "\ud800",
]
# git check-ref-format, one component
REF_PART = re.compile(r"(?!\.)(?!.*\.\.)(?!.*@\{)(?!@$)[^\x00-\x20\x7f~^:?*\[\\/]+(?<!\.)(?<!\.lock)")
TEXT = st.one_of(st.text(max_size=40), st.sampled_from(NASTY))
WORDS = st.builds(
    lambda kind, *parts: replace(
        WORD, kind=kind, service=parts[0], environment=parts[1], version=parts[2], who=parts[3].strip().lower() or "x", reason=parts[4]
    ),
    st.sampled_from(KINDS),
    *([TEXT] * 5),
)


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"Approve",
        message_of(WORD)[:-3],
        message_of(WORD) + b"\n",
        message_of(WORD).replace(b"statement/1", b"statement/2"),
        message_of(WORD).replace(b'"about"', b'"more": 1,\n  "about"'),
        message_of(WORD).replace(b"1790000000000000", b'"soon"'),
        message_of(WORD).replace(b"1790000000000000", b"-1"),
        message_of(WORD).replace(b"1790000000000000", b"1e15"),
        message_of(WORD).replace(b'"who": "ada@x.org"', b'"who": "Ada@x.org"'),
        message_of(WORD).replace(b'"who": "ada@x.org"', b'"who": ""'),
        message_of(WORD).replace(b'"digest": "' + b"d" * 64, b'"digest": "'),
        message_of(WORD).replace(b'"reason"', b'"reason": "x",\n  "reason"'),
        message_of(WORD).replace(b"Approve gateway", b"Approve order-gateway", 1),
        message_of(replace(WORD, kind="approve")).replace(b'"kind": "approve"', b'"kind": "abolish"').replace(b"Approve", b"Abolish"),
    ],
)
def test_what_is_not_exactly_a_word_is_none(broken: bytes) -> None:
    assert read_message(broken.decode()) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\x00",
        b"object a\ntype commit\ntag x\n\nmessage",
        b"object a\ntype commit\ntag x\ntagger A <a@x> soon +0000\n\nmessage",
        b"object a\ntype commit\ntag x\ntagger A <a@x> 1 +0000\nmore x\n\nmessage",
        b"tree a\ntype commit\ntag x\ntagger A <a@x> 1 +0000\n\nmessage",
    ],
)
def test_what_is_no_tag_of_our_form_is_none(raw: bytes) -> None:
    assert read_tag(raw) is None


def test_the_last_signature_is_where_the_message_ends_as_git_sees_it() -> None:
    raw = (
        b"object a\ntype commit\ntag x\ntagger A <a@x> 7 +0000\n\nhi\n-----BEGIN PGP SIGNATURE-----\nx\n-----BEGIN SSH SIGNATURE-----\ny\n"
    )
    tag = read_tag(raw)
    assert tag is not None
    assert (tag.form, tag.at_s, tag.message) == ("ssh", 7, "hi\n-----BEGIN PGP SIGNATURE-----\nx\n")


def test_the_title_is_for_people() -> None:
    assert title_of(WORD) == "Approve gateway 1.8.0 for production"
    assert title_of(replace(WORD, kind="override", service="", version="")) == "Override every service for production"
    assert "\n" not in title_of(replace(WORD, service="a\nb\n-----BEGIN SSH SIGNATURE-----"))


@settings(max_examples=300, deadline=None)
@given(WORDS)
def test_every_word_comes_back(word: Statement) -> None:
    try:
        message = message_of(word)
    except UnicodeEncodeError:
        return  # no such text comes out of a window; signing it is an error, and nothing is written
    found = read_message(message.decode())
    assert found == replace(word, **{n: plain(getattr(word, n)) for n in ("service", "environment", "version", "who", "reason")})
    assert not any(line.startswith("-----BEGIN") for line in message.decode().split("\n"))


@settings(max_examples=300, deadline=None)
@given(WORDS, st.integers(1, 99))
def test_every_ref_has_the_same_depth_and_only_plain_names(word: Statement, number: int) -> None:
    parts = ref_of(word, number).split("/")
    assert parts[:2] == ["refs", "tags"]
    assert len(parts) == (7 if word.kind in VOTES else 8)
    assert all(REF_PART.fullmatch(part) for part in parts), parts
    assert number_of(ref_of(word, number), word) == number


@settings(max_examples=200, deadline=None)
@given(WORDS, WORDS)
def test_different_places_have_different_refs(one: Statement, other: Statement) -> None:
    def about(word: Statement) -> tuple[str, ...]:
        return (word.kind in VOTES and "vote") or word.kind, word.service, word.environment, word.version, word.who

    surrogates = any("\ud800" <= c <= "\udfff" for part in (*about(one), *about(other)) for c in part)
    assert (ref_of(one) == ref_of(other)) is (about(one) == about(other)) or surrogates


def test_git_itself_takes_the_names() -> None:
    for text in NASTY:
        ref = ref_of(replace(WORD, service=text, environment=text, version=text, who=text), 2)
        assert subprocess.run(["git", "check-ref-format", ref], check=False).returncode == 0, ref


@pytest.mark.parametrize(
    "ref", ["refs/tags/approvals/a", "refs/tags/words/x", "refs/tags/words/hold/%0Ab/c/d/e", "refs/tags/approvals/a/b/c/d/e/f"]
)
def test_what_a_ref_claims_counts_for_nothing(ref: str) -> None:
    word = claimed(ref, "not signed")
    assert word.why_not == "not signed"
    assert word.kind in KINDS
