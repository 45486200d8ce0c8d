"""Four eyes: who counts, for exactly what, and why not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cockpit.domain.approvals import Approval, ApprovalRule, Counted, Decision, Quorum, decide, why_not_approve
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
    decision = decide(words, VERSION, "production", ApprovalRule(required), authors)
    return decision.ok, decision.given


def test_nothing_given_is_not_enough_and_nothing_needed_is() -> None:
    assert outcome() == (False, 0)
    assert outcome(required=0) == (True, 0)
    assert decide((), VERSION, "production", ApprovalRule(2), AUTHORS).reasons == ("0 of 2 approvals given",)


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
    decision = decide((approval,), VERSION, "production", ApprovalRule(1), AUTHORS)
    assert not decision.ok
    assert not decision.votes[0].counts
    assert why in decision.votes[0].why_not


def test_words_for_elsewhere_are_not_listed() -> None:
    assert (
        decide((word("b", environment="staging"), word("b", service="risk")), VERSION, "production", ApprovalRule(1), AUTHORS).votes == ()
    )


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
    assert "rejected by B: because" in decide((word("b", approved=False),), VERSION, "production", ApprovalRule(0), AUTHORS).reasons


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


# by rule

NOW_US = 1_800_000_000_000_000
HOUR_US = 3_600_000_000
RELEASE = frozenset({"b@x", "c@x"})
RISK = frozenset({"r@x"})


def decided(*words: Approval, rule: ApprovalRule, authors: frozenset[str] | None = AUTHORS, **more: object) -> Decision:
    return decide(words, VERSION, "production", rule, authors, **{"now_us": NOW_US, **more})  # type: ignore[arg-type]


def only(decision: Decision) -> Counted:
    [vote] = decision.votes
    return vote


@pytest.mark.parametrize("form", ["  B@x ", "b@X", "b@x"])
def test_only_members_of_the_named_groups_count(form: str) -> None:
    rule = ApprovalRule(1, groups=("release",), members=RELEASE)
    assert decided(word(form), rule=rule).ok
    outsider = decided(word("o@x"), rule=rule)
    assert only(outsider).why_not == "not in release"
    assert outsider.reasons == ("0 of 1 approvals given",)
    assert why_not_approve("o@x", VERSION, AUTHORS, rule) == "you are not in release"
    assert why_not_approve(form, VERSION, AUTHORS, rule) == ""


def test_a_named_group_without_members_lets_nobody_count() -> None:
    rule = ApprovalRule(1, groups=("nobody",))
    assert not decided(word("b@x"), rule=rule).ok
    assert "not in nobody" in only(decided(word("b@x"), rule=rule)).why_not


def test_an_outsider_may_reject() -> None:
    decision = decided(word("b@x"), word("o@x", approved=False), rule=ApprovalRule(1, groups=("release",), members=RELEASE))
    assert decision.reasons == ("rejected by O@X: because",)


def test_a_quorum_is_asked_for_in_words_and_counts_towards_the_whole() -> None:
    rule = ApprovalRule(2, groups=("release",), members=RELEASE, quorums=(Quorum("risk", RISK, 1),))
    assert decided(word("b@x"), rule=rule).reasons == ("1 of 2 approvals given", "at least 1 of risk must approve")
    assert decided(word("b@x"), word("c@x"), rule=rule).reasons == ("at least 1 of risk must approve",)
    assert decided(word("b@x"), word("r@x"), rule=rule).ok
    two = ApprovalRule(0, quorums=(Quorum("risk", frozenset({"r@x", "s@x"}), 2),))
    assert decided(word("r@x"), rule=two).reasons == ("at least 2 of risk must approve, 1 did",)
    assert decided(word("r@x"), word("o@x"), word("s@x"), rule=two).ok
    assert "authors" in decided(rule=two, authors=None).reasons[-1]


def test_one_person_may_fill_two_quorums_and_counts_once_in_the_whole() -> None:
    both = (Quorum("risk", RISK, 1), Quorum("desk", RISK, 1))
    assert decided(word("r@x"), rule=ApprovalRule(1, quorums=both)).ok
    assert decided(word("r@x"), rule=ApprovalRule(2, quorums=both)).reasons == ("1 of 2 approvals given",)


@pytest.mark.parametrize(
    ("apart", "who", "counts"),
    [
        (("author", "requester"), "author@playground.invalid", False),
        (("requester",), "author@playground.invalid", True),
        (("author", "requester"), "q@x", False),
        (("author",), "q@x", True),
        (("author", "requester", "deployer"), "d@x", False),
        (("author", "requester"), "d@x", True),
        ((), "d@x", True),
    ],
)
def test_who_is_kept_apart_is_what_the_rule_says(apart: tuple[str, ...], who: str, counts: bool) -> None:
    rule = ApprovalRule(1, apart=frozenset(apart))
    decision = decided(word(who), rule=rule, requester="Quin <Q@x>", deployer="Dee <d@X> ")
    assert only(decision).counts is counts
    assert decision.ok is counts


def test_the_requester_may_not_approve_and_hears_it_before() -> None:
    assert "asked for this" in why_not_approve("q@x", VERSION, AUTHORS, ApprovalRule(1), "Quin <Q@x>")
    assert why_not_approve("q@x", VERSION, AUTHORS, ApprovalRule(1, apart=frozenset()), "q@x") == ""
    assert why_not_approve("b@x", VERSION, AUTHORS, ApprovalRule(1), "q@x") == ""


def test_unknown_authors_matter_only_where_authors_are_kept_apart() -> None:
    free = ApprovalRule(1, apart=frozenset({"requester"}))
    assert decided(word("b@x"), rule=free, authors=None).ok
    assert decided(word("b@x"), rule=free, authors=None).authors_known
    assert why_not_approve("b@x", VERSION, None, free) == ""
    assert not decided(word("b@x"), rule=ApprovalRule(1), authors=None).ok


def test_a_void_word_is_shown_never_counted_and_takes_nothing_back() -> None:
    forged = replace(word("b@x", 5), why_not="the signature is not of a key that is allowed to sign")
    decision = decided(word("b@x", 1, approved=False), forged, rule=ApprovalRule(1))
    assert [v.why_not for v in decision.votes] == [forged.why_not, ""]
    assert "rejected by B@X: because" in decision.reasons
    assert decided(replace(word("b@x", approved=False), why_not="key revoked"), rule=ApprovalRule(0)).ok


def test_an_approval_expires_and_a_rejection_does_not() -> None:
    rule = ApprovalRule(1, expires_s=3600.0)
    assert decided(word("b@x", NOW_US - HOUR_US), rule=rule).ok
    late = decided(word("b@x", NOW_US - HOUR_US - 1), rule=rule)
    assert only(late).why_not == "expired: it was good for 1 h"
    assert not decided(word("b@x", 1, approved=False), word("c@x", NOW_US), rule=rule).ok
    assert "not known" in only(decided(word("b@x", NOW_US), rule=rule, now_us=0)).why_not
    again = decided(word("b@x", 1), word("b@x", NOW_US), rule=rule)
    assert again.ok, "said again, it counts again"


def test_an_expired_approval_still_took_the_earlier_rejection_back() -> None:
    decision = decided(word("b@x", 1, approved=False), word("b@x", 2), word("c@x", NOW_US), rule=ApprovalRule(1, expires_s=60.0))
    assert decision.ok


def test_a_word_dated_in_the_future_does_not_count() -> None:
    near, far = NOW_US + 300_000_000, NOW_US + 300_000_001
    assert decided(word("b@x", near), rule=ApprovalRule(1)).ok
    assert "future" in only(decided(word("b@x", far), rule=ApprovalRule(1))).why_not
    assert not decided(word("b@x", NOW_US, approved=False), word("b@x", far), rule=ApprovalRule(0)).ok, "it takes nothing back"


def test_unsigned_words_do_not_count_where_signatures_are_asked_for() -> None:
    rule = ApprovalRule(1, signed=True)
    signed = replace(word("b@x", 1, approved=False), signer="SHA256:k", source="git")
    assert "not signed" in only(decided(word("b@x"), rule=rule)).why_not
    assert not decided(signed, word("b@x", 2), rule=rule).ok, "an unsigned approval does not take back a signed rejection"
    assert decided(replace(word("b@x"), signer="SHA256:k"), rule=rule).ok


def review(who: str, at_us: int = 1, commit: str = "commit", digest: str = "", environment: str = "", **more: object) -> Approval:
    return replace(word(who, at_us, commit=commit, digest=digest, environment=environment, **more), source="forge")  # type: ignore[arg-type]


def test_a_review_in_the_forge_counts_by_its_commit() -> None:
    assert decided(review("b@x"), rule=ApprovalRule(1)).ok
    assert decided(review("b@x", digest="digest", environment="production"), rule=ApprovalRule(1)).ok
    assert "another commit" in only(decided(review("b@x", commit="old"), rule=ApprovalRule(1))).why_not
    assert "another artifact" in only(decided(review("b@x", digest="other"), rule=ApprovalRule(1))).why_not
    assert "not signed" in only(decided(review("b@x"), rule=ApprovalRule(1, signed=True))).why_not
    assert decided(review("b@x", environment="staging"), rule=ApprovalRule(1)).votes == ()
    assert decided(replace(review("b@x"), source="journal"), rule=ApprovalRule(1)).votes == (), "only a forge speaks of every environment"


def test_a_review_and_a_word_of_one_person_are_one() -> None:
    assert decided(review("b@x"), word("b@x", 2), rule=ApprovalRule(2)).given == 1
    assert not decided(review("b@x", 1), word("b@x", 2, approved=False), rule=ApprovalRule(0)).ok
    assert decided(review("b@x", 3), word("b@x", 2, approved=False), rule=ApprovalRule(1)).ok


def test_of_two_words_of_one_moment_the_rejection_stands() -> None:
    for words in ((word("b@x"), word("b@x", approved=False)), (word("b@x", approved=False), word("b@x"))):
        assert not decided(*words, rule=ApprovalRule(0)).ok


WORDS = st.builds(
    word,
    st.sampled_from(["b@x", "C@x", "r@x", "author@playground.invalid", "q@x", " "]),
    st.integers(NOW_US - 3 * HOUR_US, NOW_US + HOUR_US),
    st.booleans(),
    st.sampled_from(["commit", "other"]),
    st.sampled_from(["digest", "other", ""]),
    st.sampled_from(["production", "staging"]),
)
SAID = st.builds(
    lambda a, signer, why, source: replace(a, signer=signer, why_not=why, source=source),
    WORDS,
    st.sampled_from(["", "SHA256:k"]),
    st.sampled_from(["", "", "forged"]),
    st.sampled_from(["journal", "git", "forge"]),
)
RULES = st.builds(
    ApprovalRule,
    st.integers(0, 3),
    st.sampled_from([(), ("release",)]),
    st.sampled_from([frozenset(), RELEASE]),
    st.sampled_from([(), (Quorum("risk", RISK, 1),)]),
    st.sets(st.sampled_from(["author", "requester", "deployer"])).map(frozenset),
    st.sampled_from([0.0, 3600.0]),
    st.booleans(),
)
PEOPLE = st.sampled_from([AUTHORS, frozenset[str](), None])


@settings(max_examples=300, deadline=None)
@given(st.lists(SAID, max_size=8), RULES, PEOPLE)
def test_whatever_is_said_only_what_may_count_counts(words: list[Approval], rule: ApprovalRule, authors: frozenset[str] | None) -> None:
    decision = decided(*words, rule=rule, authors=authors, requester="q@x")
    counted = [v.approval for v in decision.votes if v.counts]
    people = [a.who.strip().lower() for a in counted]
    assert len(people) == len(set(people)), "nobody counts twice"
    for a in counted:
        assert a.who.strip()
        assert not a.why_not
        assert a.commit == "commit"
        assert a.digest == "digest" or (a.source == "forge" and not a.digest)
        assert a.signer or not rule.signed
        assert a.at_us <= NOW_US + 300_000_000
    for a in (a for a in counted if a.approved):
        assert rule.may(a.who)
        assert not ("requester" in rule.apart and a.who == "q@x")
        assert not ("author" in rule.apart and (authors is None or a.who in authors))
        assert not rule.expires_s or NOW_US - a.at_us <= rule.expires_s * 1e6
    assert all(bool(v.why_not) is not v.counts for v in decision.votes), "what does not count says why"
    assert decision.ok <= (decision.given >= rule.required)
    assert decision.ok <= all(a.approved for a in counted)


@settings(max_examples=150, deadline=None)
@given(st.lists(SAID, max_size=6, unique=True), RULES, PEOPLE, st.randoms(use_true_random=False))
def test_the_order_in_which_words_arrive_does_not_matter(
    words: list[Approval], rule: ApprovalRule, authors: frozenset[str] | None, chance: random.Random
) -> None:
    shuffled = chance.sample(words, len(words))
    first, second = decided(*words, rule=rule, authors=authors), decided(*shuffled, rule=rule, authors=authors)
    assert (first.ok, first.given) == (second.ok, second.given)


@settings(max_examples=150, deadline=None)
@given(st.lists(SAID, max_size=6), SAID, RULES)
def test_a_word_that_does_not_count_changes_nothing(words: list[Approval], extra: Approval, rule: ApprovalRule) -> None:
    void = replace(extra, why_not="forged", comment="void")
    before, after = decided(*words, rule=rule), decided(*words, void, rule=rule)
    assert (before.ok, before.given, before.reasons) == (after.ok, after.given, after.reasons)
