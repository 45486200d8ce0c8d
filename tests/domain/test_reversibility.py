"""What is declared of a way back: hostile words, dates and versions, the worst of a batch, and what is not known."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.release import Changes, Commit
from cockpit.domain.reversibility import MAX_WORDS, Declaration, Way, declared_between, declared_by, ledger, parse, today, worst

DECEMBER = round(datetime(2026, 12, 1, tzinfo=UTC).timestamp() * 1e6)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "   ",
        "yes",
        "safe-ish",
        "safe until",
        "safe until tomorrow",
        "safe until 2026-02-31",
        "safe until 2026-13-01",
        "safe until 2026-12-01T99:99Z",
        "safe until 8",
        "safe until --upload-pack=x",
        "not safe",
        "unsafe",
        "onewayward",
        "\x1b[31msafe",
        "safe\x00",
        "safe until 1.8.0 or so",
        "sаfe",  # a Cyrillic letter
    ],
)
def test_what_cannot_be_read_is_undeclared_and_its_words_stay(words: str) -> None:
    found = parse(words, "subject", "c1")
    assert (found.way, found.subject, found.commit) == (Way.UNDECLARED, "subject", "c1")
    assert found.reason == " ".join(words.split())


@pytest.mark.parametrize("words", ["safe", "SAFE", "  Safe\n"])
def test_safe(words: str) -> None:
    assert parse(words).way is Way.SAFE


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("one-way: drops column X", "drops column X"),
        ("One Way: drops column X", "drops column X"),
        ("oneway - drops it; rewrites ids", "drops it; rewrites ids"),
        ("one-way", "no reason given"),
        ("one-way:", "no reason given"),
        ("one-way drops", "drops"),
    ],
)
def test_one_way_names_its_reason(words: str, reason: str) -> None:
    found = parse(words)
    assert (found.way, found.reason) == (Way.ONE_WAY, reason)


def test_until_a_date_and_until_a_version() -> None:
    assert parse("safe until 2026-12-01").until_us == DECEMBER
    assert parse("Safe  Until 2026-12-01T06:30Z").until_us == DECEMBER + 23_400_000_000
    for words in ("safe until 1.8.0", "safe until v1.8.0"):
        assert (parse(words).way, parse(words).until_version, parse(words).until_us) == (Way.UNTIL, "1.8.0", 0)


@given(st.text())
def test_any_text_is_read_and_never_believed_more_than_it_says(words: str) -> None:
    found = parse(words)
    assert len(found.reason) <= MAX_WORDS
    if found.way is Way.SAFE:
        assert " ".join(words.split()).lower() == "safe"
    if found.way is Way.UNTIL:
        assert bool(found.until_us) != bool(found.until_version)


@given(st.sampled_from(["safe until ", "one-way", "one way:", "safe"]), st.text(max_size=400))
def test_words_that_begin_well_are_read_too(begin: str, rest: str) -> None:
    assert parse(begin + rest).way in set(Way) - {Way.UNKNOWN}


def test_a_commit_with_several_trailers_is_as_bad_as_the_worst() -> None:
    commit = Commit("c1", "A", "a@x", 1, "work", rollback="safe\none-way: drops X\nnonsense")
    assert declared_by(commit) == Declaration(Way.ONE_WAY, "work", "c1", "drops X")
    assert declared_by(Commit("c2", "A", "a@x", 1, "work")).way is Way.UNDECLARED
    assert declared_by(Commit("c2", "A", "a@x", 1, "work", rollback="safe\nwhat?")).reason == "what?"


@pytest.mark.parametrize(
    ("words", "now", "newest", "way"),
    [
        ("safe until 2026-12-01", DECEMBER - 1, "9.9", Way.UNTIL),
        ("safe until 2026-12-01", DECEMBER, "9.9", Way.ONE_WAY),
        ("safe until 1.8.0", 0, "1.7.0", Way.UNTIL),
        ("safe until 1.8.0", 0, "1.8.0", Way.UNTIL),
        ("safe until 1.8.0", 0, "1.8.0-rc1", Way.UNTIL),
        ("safe until 1.8.0", 0, "1.10.0", Way.ONE_WAY),
        ("safe until 1.8.0", 0, "", Way.UNTIL),
        ("safe until 1.8.0", 0, None, Way.UNKNOWN),
        ("safe until 2026-12-01", 0, None, Way.UNTIL),
    ],
)
def test_what_was_safe_until_something_is_one_way_after_it(words: str, now: int, newest: str | None, way: Way) -> None:
    assert today(parse(words), now, newest).way is way


DECLARATIONS = st.sampled_from(["safe", "one-way: x", "", "safe until 1.8.0", "safe until 2026-12-01", "nonsense"]).map(parse)


@given(st.lists(DECLARATIONS), DECLARATIONS, st.sampled_from([0, DECEMBER]), st.sampled_from(["", "1.7.0", "1.9.0", None]))
def test_one_more_change_never_makes_a_batch_better(batch: list[Declaration], more: Declaration, now: int, newest: str | None) -> None:
    rank = list(Way).index
    before, after = worst(batch, now, newest).way, worst([*batch, more], now, newest).way
    assert rank(after) >= rank(before)
    assert rank(after) == max(rank(before), rank(today(more, now, newest).way))
    assert worst([*reversed(batch), more], now, newest).way is after


def test_nothing_at_all_is_safe() -> None:
    assert worst([], 0, None).way is Way.SAFE
    assert ledger([], [], 0, None).worst is Way.SAFE


def commit(number: int, rollback: str = "") -> Commit:
    return Commit(f"c{number}", "A", "a@x", number, f"change {number}", rollback=rollback)


def batch(*commits: Commit, total: int = 0) -> Changes:
    return Changes("base", "head", commits, (), total or len(commits))


def test_the_ledger_says_what_is_declared_and_what_is_not() -> None:
    found = ledger([batch(commit(1), commit(2, "safe"), commit(3, "what?"))], [], 0, "")
    assert (found.worst, found.total, found.declared, found.unread, found.known) == (Way.UNDECLARED, 3, 1, ("what?",), True)


def test_a_commit_that_leaves_from_two_nodes_counts_once() -> None:
    found = ledger([batch(commit(1)), batch(commit(1), commit(2))], [], 0, "")
    assert found.total == 2


@pytest.mark.parametrize("changes", [None, batch(commit(1, "safe"), total=2)])
def test_commits_that_were_not_all_seen_are_not_known(changes: Changes | None) -> None:
    found = ledger([batch(commit(9, "safe")), changes], [], 0, "")
    assert (found.known, found.worst) == (False, Way.UNKNOWN)


def test_a_one_way_change_is_worse_than_not_knowing() -> None:
    found = ledger([None], [parse("one-way: new ids")], 0, "")
    assert (found.worst, [d.reason for d in found.blocks]) == (Way.ONE_WAY, ["new ids"])


def test_the_policy_speaks_for_versions_by_their_names() -> None:
    declared = {"1.6.0": parse("one-way: a"), "1.7.0": parse("one-way: b"), "1.10.0": parse("safe until 1.10.0")}
    assert [d.subject for d in declared_between(declared, "1.6.0", "1.10.0")] == ["version 1.10.0", "version 1.7.0"]
    assert declared_between(declared, "1.10.0", "1.6.0") == ()
    assert declared_between(declared, "1.6.0", "1.6.9") == ()
