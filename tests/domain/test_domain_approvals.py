"""Four eyes: who counts, for exactly what, and why not."""

from __future__ import annotations

import pytest

from cockpit.domain.approvals import Approval, decide, why_not_approve
from cockpit.domain.release import Version

VERSION = Version("gateway", "1.2", "v1.2", "commit", 0, "digest")
AUTHORS = frozenset({"author@playground.invalid"})


def word(
    who: str,
    at_us: int = 1,
    approved: bool = True,
    commit: str = "commit",
    digest: str = "digest",
    environment: str = "production",
    service: str = "gateway",
) -> Approval:
    return Approval(service, "1.2", environment, commit, digest, who, who.title(), approved, "because", at_us)


def outcome(*words: Approval, required: int = 1, authors: frozenset[str] | None = AUTHORS) -> tuple[bool, int]:
    decision = decide(words, VERSION, "production", required, authors)
    return decision.ok, decision.given


def test_nothing_given_is_not_enough_and_nothing_needed_is() -> None:
    assert outcome() == (False, 0)
    assert outcome(required=0) == (True, 0)
    assert decide((), VERSION, "production", 2, AUTHORS).reasons == ("0 of 2 approvals given",)


@pytest.mark.parametrize(
    ("approval", "why"),
    [
        (word("author@playground.invalid"), "author"),
        (word("Author@Playground.INVALID "), "author"),
        (word("b", commit="other"), "another commit"),
        (word("b", digest="other"), "another artifact"),
        (word("b", digest=""), "another artifact"),
        (word(" "), "nobody"),
    ],
)
def test_what_does_not_count_says_why(approval: Approval, why: str) -> None:
    decision = decide((approval,), VERSION, "production", 1, AUTHORS)
    assert not decision.ok
    assert not decision.votes[0].counts
    assert why in decision.votes[0].why_not


def test_words_for_elsewhere_are_not_listed() -> None:
    assert decide((word("b", environment="staging"), word("b", service="risk")), VERSION, "production", 1, AUTHORS).votes == ()


def test_nobody_counts_twice() -> None:
    assert outcome(word("b", 1), word("b", 2), required=2) == (False, 1)
    assert outcome(word("b", 1), word("B ", 2), required=2) == (False, 1)
    same = word("b")
    assert outcome(same, same, required=2) == (False, 1)
    assert outcome(word("b"), word("c"), required=2) == (True, 2)


def test_the_newest_word_of_a_person_counts() -> None:
    assert outcome(word("b", 1, approved=True), word("b", 2, approved=False)) == (False, 0)
    assert outcome(word("b", 2, approved=True), word("b", 1, approved=False)) == (True, 1)


def test_a_rejection_stands_against_any_number_and_an_author_may_reject() -> None:
    assert outcome(word("b"), word("c"), word("d", approved=False)) == (False, 2)
    assert outcome(word("b"), word("author@playground.invalid", approved=False)) == (False, 1)
    assert outcome(word("b", approved=False), required=0) == (False, 0)
    assert "rejected by B: because" in decide((word("b", approved=False),), VERSION, "production", 0, AUTHORS).reasons


def test_a_word_on_another_commit_does_not_take_back_a_rejection() -> None:
    assert outcome(word("b", 1, approved=False), word("b", 2, commit="other"), word("c", 3)) == (False, 1)


def test_a_rejection_of_another_commit_does_not_stand_against_this_one() -> None:
    assert outcome(word("b", approved=False, commit="other"), word("c")) == (True, 1)


def test_unknown_authors_let_nobody_count() -> None:
    assert outcome(word("b"), authors=None) == (False, 0)
    assert outcome(required=0, authors=None) == (True, 0)
    assert outcome(word("b", approved=False), required=0, authors=None) == (False, 0)


@pytest.mark.parametrize(
    ("who", "version", "authors", "why"),
    [
        ("", VERSION, AUTHORS, "who you are"),
        ("  ", VERSION, AUTHORS, "who you are"),
        ("b", Version("gateway", "1.2", "v1.2", "commit", 0), AUTHORS, "digest is not known"),
        ("b", VERSION, None, "authors of the commits are not known"),
        ("AUTHOR@playground.invalid", VERSION, AUTHORS, "you are an author"),
        ("b", VERSION, AUTHORS, ""),
    ],
)
def test_why_a_person_may_not_approve(who: str, version: Version, authors: frozenset[str] | None, why: str) -> None:
    found = why_not_approve(who, version, authors)
    assert why in found
    assert bool(found) is bool(why)
