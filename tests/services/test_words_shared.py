"""Two windows on two data directories and one shared repository, with real keys: what one person signs, the other one counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.connectors.registry import signed_words
from cockpit.domain.approvals import ApprovalRule, Decision
from cockpit.domain.errors import NotAllowed
from cockpit.domain.policy import Rules
from cockpit.domain.release import Version
from cockpit.domain.statements import holds
from cockpit.services import status
from cockpit.services.decisions import SYNC_POLLS, Decisions, Keeper
from cockpit.services.runtime import LoopMainThread, Runner
from cockpit.services.words import Words
from cockpit.storage.journal import Journal
from tests.fakes.signing import DIGEST, SshKey, Team, git
from tests.fakes.speaking import Window

RULES = Rules(approvals={"prod": ApprovalRule(2, signed=True)})


class Desk(Window):
    """One person's window, with an own data directory and an own clone."""

    def __init__(self, team: Team, name: str, clock: Any) -> None:
        folder = team.folder / f"data-{name}"
        folder.mkdir()
        super().__init__(folder, clock, RULES)
        self.team, key = team, team.keys[name]
        self.know(digest=DIGEST, commit=team.commit)
        self.act_as(key.name, key.who)
        path = str(team.clone(f"clone-{name}"))
        trust = {"allowed_signers": str(team.allowed), "revoked_keys": str(team.revoked)}
        words = signed_words(path, "origin", me=(key.name, key.who), key=("ssh", str(key.path)), **trust)  # type: ignore[arg-type]
        self.decisions.use((Keeper("git", ("gw",), words),))

    @property
    def version(self) -> Version:
        return Version("gw", "1.8.0", "v1.8.0", self.team.commit, 0, DIGEST)

    def hear(self) -> Decision:
        """As many polls as an exchange with the remote takes; what is decided then."""
        for _ in range(SYNC_POLLS + 1):
            self.decisions.poll()
            self.main.settle()
        return self.decided()

    def decided(self) -> Decision:
        return status.decision(self.store.state, self.version, "prod", RULES, self.clock())


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path, "ada", "carol")


@pytest.fixture
def desks(team: Team, fake_clock: Any) -> Iterator[tuple[Desk, Desk]]:
    made = Desk(team, "ada", fake_clock), Desk(team, "carol", fake_clock)
    yield made
    for desk in made:
        desk.close()


def test_an_unsigned_word_a_forged_one_and_one_of_another_commit_count_for_nothing(
    team: Team, desks: tuple[Desk, Desk], fake_clock: Any
) -> None:
    ada, carol = desks
    elsewhere = Journal(ada.database, "elsewhere:1:1", fake_clock)
    detail = {"service": "gw", "version": "1.8.0", "environment": "prod", "commit": team.commit, "digest": DIGEST, "at_us": fake_clock()}
    detail |= {"who": "eve@x", "name": "Eve", "approved": True, "comment": "", "signer": "SHA256:claimed"}
    elsewhere.append("note", "k", "approve", "Eve <eve@x>", "gw", "prod", detail)
    eve = SshKey(team.folder, "eve")
    forged = signed_words(
        str(team.folder / "clone-carol"), "origin", me=(eve.name, eve.who), key=("ssh", str(eve.path)), allowed_signers=str(team.allowed)
    )
    with pytest.raises(Exception, match="count for nothing"):
        forged.sign(replace(carol_word(carol), who=eve.who))
    other = replace(carol.version, commit=team.later)
    carol.words.approve(other, "prod", "this one")
    carol.main.settle()
    decision = ada.hear()
    assert decision.reasons == ("0 of 2 approvals given",)
    assert sorted(v.why_not for v in decision.votes) == ["given for another commit", "not signed: only signed words count here"]


def carol_word(desk: Desk) -> Any:
    from cockpit.domain.statements import Statement

    version = desk.version
    return Statement("approve", "gw", "prod", version.name, version.commit, version.digest, "x", "x", "", desk.clock())


def test_two_signed_approvals_from_two_data_directories_open_the_way(desks: tuple[Desk, Desk]) -> None:
    ada, carol = desks
    ada.words.approve(ada.version, "prod", "looks right")
    ada.main.settle()
    assert ada.decided().reasons == ("1 of 2 approvals given",)
    assert carol.decided().reasons == ("0 of 2 approvals given",)
    assert carol.hear().given == 1
    carol.clock.advance(1)
    carol.words.approve(carol.version, "prod")
    carol.main.settle()
    assert carol.decided().ok
    assert ada.hear().ok
    assert {v.approval.signer[:7] for v in ada.decided().votes} == {"SHA256:"}
    with pytest.raises(NotAllowed, match="already"):
        ada.words.approve(ada.version, "prod")


def test_a_moved_tag_and_a_rebuilt_artifact_void_the_approvals(team: Team, desks: tuple[Desk, Desk]) -> None:
    ada, _ = desks
    ada.words.approve(ada.version, "prod")
    ada.main.settle()
    for moved, why in (
        (replace(ada.version, commit=team.later), "another commit"),
        (replace(ada.version, digest="e" * 64), "another artifact"),
    ):
        [vote] = status.decision(ada.store.state, moved, "prod", RULES, ada.clock()).votes
        assert why in vote.why_not


def test_a_revoked_key_voids_what_it_signed_in_both_windows(team: Team, desks: tuple[Desk, Desk]) -> None:
    ada, carol = desks
    ada.words.approve(ada.version, "prod")
    ada.main.settle()
    carol.hear()
    team.revoked.write_text(team.keys["ada"].public + "\n")
    for desk in desks:
        [vote] = desk.hear().votes
        assert (vote.counts, vote.why_not) == (False, "the key was revoked")


def test_offline_the_word_counts_here_and_reaches_the_others_later(team: Team, desks: tuple[Desk, Desk]) -> None:
    ada, carol = desks
    away = team.bare.rename(team.folder / "away.git")
    ada.words.reject(ada.version, "prod", "the book was crossed")
    ada.main.settle()
    assert ada.decided().reasons[0] == f"rejected by {team.keys['ada'].who}: the book was crossed"
    assert any("not shared yet" in t for t in ada.told)
    assert carol.hear().votes == ()
    assert carol.decisions.problem
    away.rename(team.bare)
    ada.hear()
    assert carol.hear().reasons[0] == ada.decided().reasons[0]
    assert carol.decisions.problem == ""


def test_a_hold_reaches_the_other_window_and_is_cleared_there(team: Team, desks: tuple[Desk, Desk]) -> None:
    ada, carol = desks
    ada.words.hold(ada.version, "prod", "p99 doubled")
    ada.main.settle()
    carol.hear()
    [hold] = holds(carol.statements)
    assert (hold.who, hold.reason, hold.digest) == (team.keys["ada"].who, "p99 doubled", DIGEST)
    carol.clock.advance(1)
    carol.words.clear(hold, "fixed by configuration")
    carol.main.settle()
    ada.hear()
    assert holds(ada.statements) == holds(carol.statements) == ()
    listed = git(team.bare, "for-each-ref", "--format=%(refname)", "refs/tags/words").splitlines()
    assert listed == [f"refs/tags/words/{k}/gw/prod/1.8.0/{team.keys[n].who}" for k, n in (("clear", "carol"), ("hold", "ada"))]


def test_with_real_threads_a_word_is_signed_while_others_are_read(team: Team, desks: tuple[Desk, Desk]) -> None:
    ada, carol = desks
    main = LoopMainThread()
    runner = Runner(main)
    decisions = Decisions(ada.store, runner, ada.journal, ada.notices)
    words = Words(ada.store, decisions, ada.notices, ada.clock)
    words.me, words.rules = ada.words.me, RULES
    [keeper] = ada.decisions._keepers
    try:
        decisions.use((keeper,))
        for n in range(4):
            decisions.poll()
            ada.clock.advance(1)
            words.reject(ada.version, "prod", f"reason {n}")
        assert main.run_until(lambda: len(ada.store.state.approvals) == 4, 30.0), ada.told
        decisions.read()
    finally:
        runner.close()
    assert [a.comment for a in ada.store.state.approvals] == [f"reason {n}" for n in range(4)]
    assert [v.approval.comment for v in carol.hear().votes if v.counts] == ["reason 3"]
