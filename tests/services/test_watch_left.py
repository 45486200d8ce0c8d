"""A window that ended, or was killed, while it watched: the next one takes the watch up, or the journal gets the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cockpit.domain.errors import StorageError
from cockpit.domain.strategy import Rollout, RolloutState, Step, StepRun
from cockpit.domain.watching import WatchRule, WatchState
from cockpit.storage.journal import Entry, Journal
from tests.fakes.rig import D3
from tests.fakes.watch_rig import WatchRig

RULE = WatchRule(minutes=3)
Make = Callable[..., WatchRig]


@pytest.fixture
def make(tmp_path: Path, fake_clock: Any) -> Iterator[Make]:
    made: list[WatchRig] = []

    def build(before: WatchRig | None = None, *, acts: bool = True) -> WatchRig:
        """A window on the same journal; what the systems have to tell is as it was."""
        rig = WatchRig(tmp_path, fake_clock, RULE, acts=False)
        made.append(rig)
        if before is not None:
            rig.history, rig.active = list(before.history), before.active
            rig.turn(next(iter(before.fleet.nodes)).version)
        if acts:
            rig.watch.begin(acts=True)
        return rig

    yield build
    for rig in made:
        rig.close()


def kill(rig: WatchRig) -> None:
    """It is gone without a word."""
    rig.main._timers.clear()
    rig.watch._auto.acts = False


def watching(make: Make) -> WatchRig:
    rig = make()
    rig.run(30)
    rig.deploy()
    rig.run(20)
    assert rig.seen.state is WatchState.WATCHING
    kill(rig)
    return rig


def words(rig: WatchRig) -> list[Entry]:
    """What the journal has of the watch, newest first."""
    return [e for e in rig.journal.entries(100, kinds=("note",)) if e.action == "watch"]


def test_a_crash_leaves_no_watching_for_ever_where_its_time_has_passed(make: Make) -> None:
    rig = watching(make)
    last = words(rig)[0]
    assert (last.detail["said"], last.detail["over"]) == ("watching", False)
    rig.clock.advance(3600)
    later = make(rig)
    later.run(10)
    newest = words(later)[0]
    assert (newest.key, newest.detail["said"], newest.detail["over"]) == (last.key, "cannot tell", True)
    assert newest.detail["message"].startswith("nobody watched from ")
    assert "it was not taken up again" in newest.detail["message"]
    assert newest.detail["version"] == "1.8.0"
    again = make(rig)
    again.run(10)
    assert len(words(again)) == len(words(later)), "said once"


def test_another_deployment_meanwhile_ends_it_in_the_journal(make: Make) -> None:
    rig = watching(make)
    last = words(rig)[0]
    rig.clock.advance(20)
    rig.end(rig.begin("1.6.0", "9"))
    rig.turn("1.6.0")
    later = make(rig)
    later.run(5)
    mine = [e for e in words(later) if e.key == last.key]
    assert (mine[0].detail["said"], mine[0].detail["over"]) == ("cannot tell", True)
    assert (later.seen.deployment, later.seen.over) == ("9", False)


def test_within_its_time_it_is_taken_up_with_what_nobody_saw(make: Make) -> None:
    rig = watching(make)
    last = words(rig)[0]
    rig.clock.advance(40)
    later = make(rig)
    later.run(10)
    assert (later.seen.deployment, later.seen.over) == ("3", False)
    (up,) = [e for e in words(later) if e.detail["said"] == "taken up"]
    assert (up.key, up.detail["version"]) == (last.key, "1.8.0")
    unseen = later.seen.passed[0]
    assert (unseen.kind, unseen.since_us) == ("silence", last.at_us), later.seen.passed
    assert unseen.until_us > last.at_us + 40_000_000
    assert unseen.text == up.detail["message"]


def test_a_window_that_was_closed_says_so_and_is_taken_up_as_well(make: Make) -> None:
    rig = make()
    rig.run(30)
    rig.deploy()
    rig.watch.close()
    rig.main.settle()
    rig.clock.advance(30)
    later = make(rig)
    later.run(5)
    assert [e.detail["said"] for e in words(later)].count("taken up") == 1


def test_a_rollouts_watch_is_taken_up_before_the_rollout_is_known(make: Make) -> None:
    """Notes stand under the rollout's key; a start knows the deployment before it has read the rollouts."""
    rig = make()
    rig.run(30)
    run = StepRun(Step("deploy", "gw", "prod", "1.8.0", D3, ("n0", "n1", "n2", "n3")), action="k3")
    rig.store.merge("rollouts", {"r1": Rollout("r1", "deploy", "gw, canary", (run,), "Ada", state=RolloutState.RUNNING)})
    rig.deploy()
    assert rig.seen.deployment == "r1"
    kill(rig)
    rig.clock.advance(30)
    later = make(rig)
    later.run(5)
    assert later.seen.deployment == "3"
    assert [e.detail["said"] for e in words(later)].count("taken up") == 1
    assert not any(e.detail.get("over") for e in words(later))


def test_what_had_ended_is_left_as_it_was(make: Make) -> None:
    rig = make()
    rig.run(600)
    rig.deploy()
    assert rig.run_until(lambda: rig.seen.over, 400)
    kill(rig)
    count = len(words(rig))
    rig.clock.advance(3600)
    later = make(rig)
    later.run(10)
    assert len(words(later)) == count


def test_who_only_looks_writes_nothing(make: Make) -> None:
    rig = watching(make)
    count = len(words(rig))
    rig.clock.advance(3600)
    later = make(rig, acts=False)
    later.run(10)
    assert len(words(later)) == count


def test_a_journal_that_cannot_be_read_is_told_and_the_watch_goes_on(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = watching(make)
    rig.clock.advance(20)

    def fails(*_: Any, **__: Any) -> Any:
        raise StorageError("The disk does not answer.")

    with monkeypatch.context() as broken:
        broken.setattr(Journal, "entries", fails)
        later = make(rig)
        later.run(5)
    assert any(n.key == "watch-journal" and "The disk does not answer." in n.message for n in later.notices.history)
    assert later.seen.deployment == "3"
