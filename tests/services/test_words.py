"""What a person may say, and where it is kept: refusals first, then unsigned in the journal, then signed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.domain.approvals import ApprovalRule
from cockpit.domain.errors import NotAllowed, NotFound, OutcomeUnknown, Rejected, StorageError, Unreachable
from cockpit.domain.policy import Rules
from cockpit.domain.rollout import Action, ActionState
from cockpit.domain.statements import Statement, debts, holds, overrides, requests
from cockpit.services.actions import Person
from cockpit.services.decisions import Keeper, WordsJob, approvals_of, statements_of
from tests.fakes.speaking import FakeKeeper, Window

HOUR_US = 3_600_000_000


@pytest.fixture
def window(tmp_path: Path, fake_clock: Any) -> Iterator[Window]:
    made = Window(tmp_path, fake_clock)
    yield made
    made.close()


def keeper_of(window: Window, *services: str) -> FakeKeeper:
    made = FakeKeeper()
    window.decisions.use((Keeper("repo", services or ("gw",), made),))
    return made


def said(window: Window, word: Callable[[], None]) -> Statement:
    before = set(window.statements)
    window.clock.advance(1)
    word()
    window.main.settle()
    [new] = [s for s in window.statements if s not in before]
    return new


def refused(word: Callable[[], None], part: str) -> None:
    with pytest.raises(NotAllowed) as caught:
        word()
    assert part in str(caught.value)


def deed(window: Window) -> Action:
    return Action("key1", "deploy", "gw", "prod", "1.7.0", "d7", "1.8.0", "d8", "Ada <ada@example.org>", ActionState.SENT, window.clock())


# refused


def test_whoever_is_not_known_says_nothing(window: Window) -> None:
    window.words.me = Person("", " ")
    now, words = window.clock(), window.words
    hold = said_hold(window)
    for word in (
        lambda: words.approve(window.version, "prod"),
        lambda: words.reject(window.version, "prod", "why"),
        lambda: words.hold(window.version, "prod", "why"),
        lambda: words.clear(hold, "why"),
        lambda: words.override("prod", "gw", "why", now + HOUR_US),
        lambda: words.request(window.version, "prod", now + HOUR_US, "why"),
        lambda: words.withdraw(window.statements[0]),
    ):
        refused(word, "not known who you are")


def said_hold(window: Window) -> Any:
    me, window.words.me = window.words.me, Person("Carol", "carol@example.org")
    said(window, lambda: window.words.hold(window.version, "prod", "p99"))
    window.words.me = me
    [hold] = holds(window.statements)
    return hold


def test_a_window_that_only_reads_says_nothing(window: Window) -> None:
    hold = said_hold(window)
    window.words.read_only = "This window only reads: you asked for it."
    refused(lambda: window.words.approve(window.version, "prod"), "only reads")
    refused(lambda: window.words.reject(window.version, "prod", "x"), "only reads")
    refused(lambda: window.words.clear(hold, "x"), "only reads")
    assert "only reads" in window.words.why_not_override("prod")


def test_who_may_not_approve_hears_why(window: Window) -> None:
    window.act_as("Bob", "BOB@example.org")
    refused(lambda: window.words.approve(window.version, "prod"), "you are an author")
    window.act_as("Ada", "ada@example.org")
    window.rule(Rules(approvals={"prod": ApprovalRule(1, groups=("release",), members=frozenset({"carol@example.org"}))}))
    refused(lambda: window.words.approve(window.version, "prod"), "you are not in release")
    window.rule(Rules())
    refused(lambda: window.words.approve(replace(window.version, digest=""), "prod"), "digest is not known")
    window.words.request(window.version, "prod", window.clock() + HOUR_US, "")
    window.main.settle()
    refused(lambda: window.words.approve(window.version, "prod"), "asked for this deployment yourself")
    assert window.store.state.approvals == ()


def test_a_reason_and_an_end_are_asked_for(window: Window) -> None:
    hold, now, words = said_hold(window), window.clock(), window.words
    window.rule(Rules(may={"freeze": frozenset({"ada@example.org"})}))
    refused(lambda: words.reject(window.version, "prod", " "), "names its reason")
    refused(lambda: words.hold(window.version, "prod", ""), "names its reason")
    refused(lambda: words.clear(hold, ""), "names its reason")
    refused(lambda: words.override("prod", "", "", now + HOUR_US), "names its reason")
    for until_us, part in ((now, "still to come"), (now + 15 * 24 * HOUR_US, "at most 14 days")):
        refused(lambda u=until_us: words.override("prod", "", "why", u), part)  # type: ignore[misc]
        refused(lambda u=until_us: words.request(window.version, "prod", u, ""), part)  # type: ignore[misc]
    refused(lambda: words.request(replace(window.version, commit=""), "prod", now + 1, ""), "cannot be asked for")
    refused(lambda: words.hold(replace(window.version, digest=""), "prod", "x"), "cannot be held")


def test_only_who_has_the_role_passes_a_freeze(window: Window) -> None:
    until = window.clock() + HOUR_US
    refused(lambda: window.words.override("prod", "gw", "why", until), "names nobody")
    window.rule(Rules(may={"freeze": frozenset({"carol@example.org"})}))
    refused(lambda: window.words.override("prod", "gw", "why", until), "does not let you")
    window.act_as("Carol", "Carol@example.org")
    word = said(window, lambda: window.words.override("prod", "gw", "settlement", until))
    [override] = overrides(window.statements, window.clock())
    assert (override.who, override.until_us, override.id) == ("carol@example.org", until, word.id)
    window.act_as("Bob", "bob@example.org")
    said(window, lambda: window.words.end_override(override))
    assert overrides(window.statements, window.clock()) == ()


def test_a_word_that_somebody_may_not_say_is_void_however_it_came(window: Window) -> None:
    """Anybody with a key can sign anything with plain git."""
    keeper, now = keeper_of(window), window.clock()
    window.rule(Rules(may={"freeze": frozenset({"carol@example.org"}), "clear": frozenset({"carol@example.org"})}))
    said(window, lambda: window.words.hold(window.version, "prod", "p99"))
    keeper.kept += [
        Statement("override", "gw", "prod", "", "", "", "eve@x", "eve@x", "", now, now + HOUR_US, id="o", source="git"),
        Statement("clear", "gw", "prod", "1.8.0", "c8", "d8", "eve@x", "eve@x", "", now + HOUR_US, id="c", source="git"),
    ]
    window.decisions.read()
    assert [s.why_not for s in window.statements if s.who == "eve@x"] == ["eve@x may not do this by the policy"] * 2
    assert overrides(window.statements, now) == ()
    assert len(holds(window.statements)) == 1


def test_who_may_clear_is_everybody_unless_the_policy_names_some(window: Window) -> None:
    hold = said_hold(window)
    window.rule(Rules(may={"clear": frozenset({"carol@example.org"})}))
    refused(lambda: window.words.clear(hold, "fixed"), "names who may clear")
    window.rule(Rules())
    word = said(window, lambda: window.words.clear(hold, "fixed"))
    assert (word.about, word.digest, word.commit) == (hold.id, "d8", "c8")
    assert holds(window.statements) == ()


def test_nobody_signs_off_the_own_emergency(window: Window) -> None:
    said(window, lambda: window.words.emergency(deed(window), "book crossed"))
    [debt] = debts(window.statements)
    assert (debt.about, debt.reason, debt.version) == ("key1", "book crossed", "1.8.0")
    refused(lambda: window.words.sign_off(debt, "fine"), "a second person")
    window.act_as("Carol", "carol@example.org")
    refused(lambda: window.words.sign_off(debt, ""), "names its reason")
    said(window, lambda: window.words.sign_off(debt, "was right"))
    assert debts(window.statements) == ()


# in the journal


def test_without_keys_a_vote_stands_in_the_journal_and_reads_back(window: Window) -> None:
    said(window, lambda: window.words.approve(window.version, "prod", " looks right "))
    [vote] = window.store.state.approvals
    assert (vote.who, vote.approved, vote.comment, vote.commit, vote.digest, vote.signer) == (
        "ada@example.org",
        True,
        "looks right",
        "c8",
        "d8",
        "",
    )
    refused(lambda: window.words.approve(window.version, "prod"), "already")
    said(window, lambda: window.words.reject(window.version, "prod", "no"))
    assert approvals_of(reversed(window.journal.entries())) == window.store.state.approvals
    assert statements_of(reversed(window.journal.entries())) == window.statements
    window.decisions.read()
    window.decisions.poll()
    window.main.settle()
    assert len(window.statements) == len(window.store.state.approvals) == 2, "read again it is not there twice"


def test_votes_of_earlier_versions_still_read(window: Window) -> None:
    detail = {"service": "gw", "version": "1.8.0", "environment": "prod", "commit": "c8", "digest": "d8", "who": "c@x", "name": "C"}
    detail |= {"approved": False, "comment": "old form", "at_us": 5, "signer": "SHA256:claimed"}
    window.journal.append("note", "k", "reject", "C <c@x>", "gw", "prod", detail)
    window.decisions.read()
    [word] = window.statements
    assert (word.kind, word.reason, word.id, word.signer) == ("reject", "old form", "k", "")
    assert [(a.approved, a.signer) for a in window.store.state.approvals] == [(False, "")]


def test_listeners_hear_of_what_was_recorded_and_only_of_that(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Statement] = []
    window.words.said.append(heard.append)
    word = said(window, lambda: window.words.request(window.version, "prod", window.clock() + HOUR_US, "monday"))
    assert heard == [word]
    assert requests(window.statements, window.clock()) == (word,)
    said(window, lambda: window.words.withdraw(word, "not today"))
    assert requests(window.statements, window.clock()) == ()

    def broken(*arguments: object) -> Any:
        raise StorageError("the disk is full")

    monkeypatch.setattr(window.journal, "append", broken)
    window.words.reject(window.version, "prod", "no")
    window.main.settle()
    assert "the disk is full" in window.told[-1]
    assert len(heard) == 2
    assert window.store.state.approvals == ()


# signed


def test_where_words_are_signed_they_are_kept_so_and_noted_here(window: Window) -> None:
    keeper = keeper_of(window)
    word = said(window, lambda: window.words.approve(window.version, "prod", "fine"))
    assert (word.source, word.signer, word.id) == ("git", "SHA256:key", "tag0")
    assert [a.signer for a in window.store.state.approvals] == ["SHA256:key"]
    [note] = window.journal.entries()
    assert (note.action, note.key, note.who, note.detail["source"]) == ("approve", "tag0", "Ada <ada@example.org>", "git")
    window.decisions.read()
    assert window.statements == (word,), "the note is no second word"
    keeper.kept[:] = [replace(word, why_not="the key was revoked")]
    window.decisions.poll()
    window.main.settle()
    assert [(s.why_not, a.why_not) for s, a in zip(window.statements, window.store.state.approvals, strict=True)] == [
        ("the key was revoked",) * 2
    ]


def test_where_only_signed_words_count_none_is_said_unsigned(window: Window) -> None:
    window.rule(Rules(approvals={"prod": ApprovalRule(1, signed=True)}))
    window.words.approve(window.version, "prod")
    window.main.settle()
    assert window.statements == window.journal.entries() == ()
    assert "is not connected" in window.told[-1]
    said(window, lambda: window.words.emergency(deed(window), "now"))
    assert len(debts(window.statements)) == 1, "it has happened, so it is kept"


def test_a_word_that_cannot_be_signed_is_not_said(window: Window) -> None:
    keeper_of(window).trouble["sign"] = Rejected("Your key could not sign", hint="Try it in a terminal.")
    window.words.approve(window.version, "prod")
    window.main.settle()
    assert window.statements == window.store.state.approvals == window.journal.entries() == ()
    assert "Your key could not sign" in window.told[-1]


def test_a_word_that_could_not_be_shared_counts_here_and_says_so(window: Window) -> None:
    keeper_of(window).trouble["share"] = OutcomeUnknown("Signed here, and not shared yet", hint="later")
    word = said(window, lambda: window.words.approve(window.version, "prod"))
    assert word.id == "tag0"
    assert window.store.state.approvals[0].approved
    assert any("warning" in t and "not shared yet" in t for t in window.told)
    assert len(window.journal.entries()) == 1


@pytest.mark.parametrize("kind", ["hold", "emergency"])
def test_what_must_not_be_lost_is_in_the_journal_before_it_is_signed(window: Window, kind: str) -> None:
    keeper = keeper_of(window)
    say = {
        "hold": lambda key: window.words.hold(window.version, "prod", "p99"),
        "emergency": lambda key: window.words.emergency(replace(deed(window), key=key), "now"),
    }[kind]
    say("k1")
    window.main.settle()
    assert [(s.kind, s.source) for s in window.statements] == [(kind, "git")], "one word, however often it is kept"
    assert [e.action for e in window.journal.entries()] == [kind], "and written down once"
    keeper.trouble["sign"] = Rejected("no agent", hint="start it")
    window.clock.advance(1)
    say("k2")
    window.main.settle()
    assert [(s.kind, s.source) for s in window.statements if s.source == "journal"] == [(kind, "journal")]
    assert any("Known on this machine only" in t and "no agent" in t for t in window.told)


def test_words_on_every_service_are_kept_by_the_first_and_heard_from_all(window: Window) -> None:
    first, second = FakeKeeper(), FakeKeeper()
    window.decisions.use((Keeper("one", ("risk",), first), Keeper("two", ("gw",), second)))
    window.rule(Rules(may={"freeze": frozenset({"ada@example.org"})}))
    said(window, lambda: window.words.override("prod", "", "expiry", window.clock() + HOUR_US))
    said(window, lambda: window.words.reject(window.version, "prod", "no"))
    assert [len(first.kept), len(second.kept)] == [1, 1]
    window.decisions.use(())
    assert window.statements == window.store.state.approvals == ()


def test_what_others_signed_is_fetched_now_and_then(window: Window) -> None:
    keeper = keeper_of(window)
    for _ in range(10):
        window.decisions.poll()
        window.main.settle()
    assert keeper.syncs == 2
    keeper.trouble["sync"] = Unreachable("no route", hint="wait")
    for _ in range(10):
        window.decisions.poll()
        window.main.settle()
    assert window.decisions.problem == "no route"
    assert [n.count for n in window.notices.history if n.title == "Not reachable"] == [1], "told once"
    keeper.trouble.clear()
    for _ in range(5):
        window.decisions.poll()
        window.main.settle()
    assert window.decisions.problem == ""
    assert all(n.over for n in window.notices.history if n.title == "Not reachable")


def test_a_poller_exchanges_them_where_one_is_made(window: Window) -> None:
    fake = FakeKeeper()
    keeper = Keeper("repo", ("gw",), fake, exchanged=True)
    window.decisions.use((keeper,))
    for _ in range(10):
        window.decisions.poll()
        window.main.settle()
    assert fake.syncs == 0
    job = WordsJob(keeper, window.decisions)
    fake.kept.append(Statement("hold", "gw", "prod", "1.8.0", "c8", "d8", "carol@x", "carol@x", "p99", 5, id="h", source="git"))
    assert job.apply(job.prepare()()) is None
    assert [s.id for s in window.statements] == ["h"]
    fake.kept.append(replace(fake.kept[0], kind="clear", id="c", at_us=6))
    fake.trouble["sync"] = Unreachable("no route", hint="wait")
    assert job.apply(job.prepare()()) is fake.trouble["sync"], "what is here is read all the same"
    assert [s.id for s in window.statements] == ["h", "c"]
    assert (job.interval_s(2.0), job.interval_s(60.0)) == (10.0, 60.0)
    window.decisions.use(())
    job.apply((tuple(fake.kept), None))
    assert window.statements == (), "a keeper that is used no more is not listened to"


def test_before_a_fire_signed_words_that_cannot_be_read_stop_it(window: Window) -> None:
    keeper = keeper_of(window)
    keeper.trouble["statements"] = NotFound("The file of allowed signers cannot be read", hint="put it back")
    with pytest.raises(StorageError, match="allowed signers"):
        window.decisions.read()


def test_votes_that_others_put_in_stay_when_signed_ones_change(window: Window) -> None:
    keeper = keeper_of(window)
    said(window, lambda: window.words.reject(window.version, "prod", "no"))
    forge = replace(window.store.state.approvals[0], source="forge", who="f@x", signer="")
    window.decisions.add(forge)
    keeper.kept.clear()
    window.decisions.read()
    assert window.store.state.approvals == (forge,)
