"""The rollback that nobody clicks: what keeps it from happening, that it is announced, stopped, and sent once. Failures first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.connectors.ports import DeployRequest
from cockpit.domain.calendar import Freeze
from cockpit.domain.errors import NotAllowed, OutcomeUnknown, Rejected, StorageError
from cockpit.domain.facts import Fact
from cockpit.domain.release import Deployment, DeployState, Fleet
from cockpit.domain.rollout import ActionState, RolloutPlan
from cockpit.domain.watching import AUTOMATIC, WatchRule, WatchState
from cockpit.services.actions import Person
from cockpit.services.notices import Severity
from cockpit.services.watch_auto import LATE_S, key_of
from tests.fakes.rig import D1, D2, D3
from tests.fakes.watch_rig import AT, WatchRig

RULE = WatchRule(minutes=10, automatic=True, countdown_s=30, settle_s=20)
Make = Callable[..., WatchRig]


@pytest.fixture
def make(tmp_path: Path, fake_clock: Any) -> Iterator[Make]:
    made: list[WatchRig] = []

    def build(rule: WatchRule = RULE, *, bad: bool = True, folder: str = "", **how: Any) -> WatchRig:
        home = tmp_path / (folder or str(len(made)))
        home.mkdir(exist_ok=True)
        rig = WatchRig(home, fake_clock, rule, **how)
        made.append(rig)
        rig.run(60)
        rig.errors["1.8.0"] = 0.3 if bad else 0.001
        rig.deploy()
        return rig

    yield build
    for rig in made:
        rig.close()


def announced(rig: WatchRig) -> None:
    """Run until the rollback is announced."""
    assert rig.run_until(lambda: rig.seen.countdown is not None, 120), (rig.seen.why_not, rig.seen.findings)


def silent(rig: WatchRig, seconds: int = 120) -> str:
    """Nothing is announced or sent for so long; why."""
    assert not rig.run_until(lambda: rig.seen.countdown is not None or rig.seen.action != "", seconds)
    assert rig.systems.posts == []
    return rig.seen.why_not


# -- what keeps it from happening ----------------------------------------------------------------------------------------------------


def test_without_the_policys_word_nothing_happens_by_itself(make: Make) -> None:
    rig = make(replace(RULE, automatic=False))
    assert silent(rig) == ""
    assert rig.seen.state is WatchState.BAD
    assert "Shift+R" in rig.loud[0].hint


def test_a_good_version_is_left_alone(make: Make) -> None:
    rig = make(bad=False)
    assert silent(rig, 300).startswith("the verdict is: ")


def test_what_only_looks_does_not_act(make: Make) -> None:
    rig = make(acts=False)
    assert "only an open window acts" in silent(rig)
    assert rig.notes() == []


def test_a_window_that_only_reads_does_not_act(make: Make) -> None:
    rig = make()
    rig.actions.read_only = "Another window works on this data."
    rig.watch.begin(acts=True)
    assert silent(rig) == "Another window works on this data."


def test_nobody_known_acts_for_nobody(make: Make) -> None:
    rig = make()
    rig.actions.me = Person("", "")
    assert "not known who you are" in silent(rig)


def test_a_freeze_stops_what_no_person_stands_behind(make: Make) -> None:
    rig = make()
    now = rig.clock()
    freeze = Freeze("Quarter end", now - 60_000_000, now + 7_200_000_000, "calendar")
    rig.store.apply(freezes={"cal": Fact((freeze,), now, "calendar", 86_400.0)})
    assert "Quarter end" in silent(rig)
    plan = rig.plan("rollback")
    assert isinstance(plan, RolloutPlan), "a person's rollback is exempt"
    rig.set_rule(replace(RULE, in_freeze=True))
    announced(rig)


def test_a_hard_freeze_is_never_passed(make: Make) -> None:
    rig = make(replace(RULE, in_freeze=True))
    now = rig.clock()
    freeze = Freeze("Closing auction", now - 60_000_000, now + 7_200_000_000, "calendar", hard=True)
    rig.store.apply(freezes={"cal": Fact((freeze,), now, "calendar", 86_400.0)})
    assert "a hard freeze: Closing auction" in silent(rig)


def test_a_calendar_that_does_not_answer_is_a_freeze(make: Make) -> None:
    rig = make()
    rig.actions.calendars.configured = {"cal": ()}
    assert "whether it is frozen is not known" in silent(rig)


def test_without_a_good_target_nothing_is_done(make: Make) -> None:
    rig = make()
    rig.history = rig.history[:1]
    assert "no earlier good version" in silent(rig)


def test_what_only_a_person_may_pass_is_passed_by_nobody_else(make: Make) -> None:
    rig = make()
    rig.store.apply(changes={})
    rig.actions.rules = replace(rig.actions.rules)
    rig.commits("c7", "c8")
    rig.commits("c6", "c7")
    rig.actions.locked = lambda service, environment: True
    why = silent(rig)
    assert "only a person may pass this" in why
    assert "the lock of the environment cannot be taken" in why


def test_stale_facts_arm_nothing(make: Make) -> None:
    rig = make()
    rig.run(10)
    rig.fresh = False
    rig.run(40)
    assert rig.seen.countdown is None
    assert silent(rig) != ""


def test_another_action_under_way_comes_first(make: Make) -> None:
    rig = make()
    other = Deployment("x1", "kx", "md", "prod", "2.0", "d", "deploy", DeployState.RUNNING, started_at_us=rig.clock())
    rig.store.merge("fleets", {"md@prod": Fact(Fleet("md", "prod", active=other), rig.clock(), "dep", 3600.0)})
    assert "a deploy of md to 2.0 is under way" in silent(rig)


def test_a_way_back_that_nobody_called_a_rollback_is_not_undone(make: Make) -> None:
    rig = make(bad=False)
    rig.run(10)
    rig.errors["1.6.0"] = 0.3
    rig.deploy("1.6.0", "4")
    assert silent(rig) == "it went back from 1.8.0 to 1.6.0: a person decides"


def test_it_settles_first_unless_a_rule_is_broken(make: Make) -> None:
    rig = make(replace(RULE, settle_s=300, minutes=15), bad=False)
    rig.run(60)
    run = rig.watch._runs[AT]
    verdict = rig.seen.found
    assert verdict is not None
    bad = replace(rig.seen, verdict=replace(verdict, state="worse", sentence="slower", since_us=rig.clock()))
    assert "it settles" in rig.watch._auto.why_not(run, bad, rig.clock())
    broken = replace(bad, verdict=replace(bad.verdict, broken=("node n1 is gone",)))
    assert rig.watch._auto.why_not(run, broken, rig.clock()) == ""


def test_there_is_one_in_a_window_whoever_did_it(make: Make) -> None:
    rig = make()
    theirs = Deployment("a0", "ka", "gw", "prod", "1.7.0", D2, "rollback", DeployState.SUCCEEDED, reason=f"{AUTOMATIC}p99 doubled")
    rig.history.append(replace(theirs, started_at_us=rig.clock() - 1_800_000_000, finished_at_us=rig.clock() - 1_700_000_000))
    assert "there was an automatic action within the last 60 min" in silent(rig)


def test_the_journal_counts_too_across_a_restart(make: Make, fake_clock: Any) -> None:
    first = make(folder="same")
    detail = {"reason": f"{AUTOMATIC}p99 doubled", "version": "1.7.0"}
    first.journal.append("intent", "kz", "rollback", "Ada", "gw", "prod", detail)
    first.watch._auto.read(first.watch._runs[AT])
    assert "there was an automatic action" in silent(first)


def test_a_journal_that_takes_nothing_lets_nothing_happen(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make()

    def full(*_: object, **__: object) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(rig.journal, "append", full)
    assert "the journal does not take it: The disk is full." in silent(rig)


# -- announced, and stopped ------------------------------------------------------------------------------------------------------------


def test_it_is_announced_with_the_way_to_stop_it_before_anything_is_sent(make: Make) -> None:
    rig = make()
    announced(rig)
    countdown = rig.seen.countdown
    assert countdown is not None
    assert (countdown.version, countdown.digest) == ("1.7.0", D2)
    assert countdown.at_us - countdown.announced_us == 30_000_000
    assert "announced" in rig.notes(), "on the disk before it counts"
    (notice,) = rig.loud
    assert (notice.severity, notice.about) == (Severity.ERROR, "countdown")
    assert "It is rolled back to 1.7.0 by itself at" in notice.hint
    assert "Stop" in notice.hint
    assert rig.watch.why_not_stop("gw", "prod") == ""
    rig.run(25)
    assert rig.systems.posts == []


def test_a_person_stops_it_for_good(make: Make) -> None:
    rig = make()
    assert "no automatic rollback is announced" in rig.watch.why_not_stop("gw", "prod")
    with pytest.raises(NotAllowed, match="No automatic rollback is announced"):
        rig.watch.stop("gw", "prod")
    announced(rig)
    rig.watch.stop("gw", "prod", "we saw it in staging")
    assert rig.seen.countdown is None
    assert rig.seen.stopped_by == "Ada <ada@example.org>: we saw it in staging"
    assert "it was stopped by Ada" in silent(rig, 300)
    assert rig.notes().count("stopped") == 1
    assert "stopped by Ada" in rig.loud[0].hint
    assert "Shift+R" in rig.loud[0].hint


def test_one_that_was_stopped_does_not_begin_again_after_a_restart(make: Make) -> None:
    rig = make(folder="same")
    announced(rig)
    rig.watch.stop("gw", "prod")
    run = rig.watch._runs[AT]
    run.stopped_by, run.read = "", False
    rig.watch._auto.read(run)
    assert "it was stopped by Ada" in silent(rig)


def test_stopped_in_the_last_moment_nothing_is_sent(make: Make) -> None:
    """The journal is being read before the POST when the person clicks."""
    rig = make()
    announced(rig)
    countdown = rig.seen.countdown
    assert countdown is not None
    rig.clock.now_us = countdown.at_us
    rig.refresh()
    rig.watch._look(rig.watch._runs[AT], rig.clock())
    rig.watch.stop("gw", "prod", "no")
    rig.main.settle()
    rig.run(20)
    assert rig.systems.posts == []
    assert rig.seen.action == ""


def test_what_comes_between_calls_it_off_and_it_is_announced_anew(make: Make) -> None:
    rig = make()
    announced(rig)
    first = rig.seen.countdown
    rig.fresh = False
    rig.run(31)
    assert rig.systems.posts == []
    assert rig.seen.countdown is None
    assert rig.seen.why_not != ""
    rig.fresh = True
    announced(rig)
    assert first is not None
    assert rig.seen.countdown is not None
    assert rig.seen.countdown.announced_us > first.announced_us, "with the whole time to stop it"
    assert "called off" in rig.notes()


def test_a_machine_that_slept_through_the_countdown_begins_it_again(make: Make) -> None:
    rig = make()
    announced(rig)
    countdown = rig.seen.countdown
    assert countdown is not None
    rig.clock.now_us = countdown.at_us + int(LATE_S * 1e6) + 5_000_000
    rig.refresh()
    rig.watch._look(rig.watch._runs[AT], rig.clock())
    assert rig.systems.posts == []
    assert rig.seen.countdown is None
    announced(rig)


def test_another_deployment_calls_it_off(make: Make) -> None:
    rig = make()
    announced(rig)
    rig.begin("1.6.0", "9")
    rig.run(40)
    assert rig.systems.posts == []
    assert (rig.seen.deployment, rig.seen.countdown) == ("9", None)


def test_a_closed_window_fires_nothing(make: Make) -> None:
    rig = make()
    announced(rig)
    rig.watch.close()
    rig.run(60)
    assert rig.systems.posts == []


# -- sent once ---------------------------------------------------------------------------------------------------------------------------


def fired(rig: WatchRig) -> DeployRequest:
    announced(rig)
    assert rig.run_until(lambda: bool(rig.systems.posts), 40), rig.seen.why_not
    return rig.systems.posts[0]


def test_it_goes_back_once_by_the_persons_own_way_with_the_numbers(make: Make) -> None:
    rig = make()
    post = fired(rig)
    assert (post.kind, post.version, post.digest) == ("rollback", "1.7.0", D2)
    assert post.reason.startswith(f"{AUTOMATIC}")
    assert "errors of place_order are 30." in post.reason
    key = rig.seen.action
    assert rig.store.state.actions[key].state is ActionState.FOLLOWING
    assert [e.kind for e in rig.journal.progress_of(key)][:1] == ["intent"]
    rig.run(300)
    assert len(rig.systems.posts) == 1
    assert rig.loud[0].about == "rollback"


def test_its_key_is_the_same_wherever_it_is_computed(make: Make) -> None:
    one, other = make(), make()
    keys = {key_of(rig.watch._runs[AT]) for rig in (one, other)}
    assert len(keys) == 1
    assert len(keys.pop()) == 32
    other.watch._runs[AT].deployment = replace(other.watch._runs[AT].deployment, id="another")
    assert key_of(one.watch._runs[AT]) != key_of(other.watch._runs[AT])


def test_an_outcome_that_is_not_known_is_never_tried_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make()

    def lost(request: DeployRequest, key: str) -> Deployment:
        rig.systems.posts.append(request)
        raise OutcomeUnknown("No answer came.")

    monkeypatch.setattr(rig.systems, "deploy", lost)
    monkeypatch.setattr(rig.systems, "find", lambda key: (_ for _ in ()).throw(OutcomeUnknown("Silent.")))
    fired(rig)
    rig.run(300)
    assert len(rig.systems.posts) == 1
    assert rig.store.state.actions[rig.seen.action].state is ActionState.UNKNOWN
    assert rig.seen.why_not == ""


def test_one_that_the_system_refuses_is_not_tried_again_and_says_so(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make()

    def refuse(request: DeployRequest, key: str) -> Deployment:
        rig.systems.posts.append(request)
        raise Rejected("Held back.", status=422)

    monkeypatch.setattr(rig.systems, "deploy", refuse)
    monkeypatch.setattr(rig.systems, "history", lambda service, environment: (), raising=False)
    fired(rig)
    rig.run(120)
    assert len(rig.systems.posts) == 1
    assert "the automatic rollback was refused" in rig.seen.why_not
    assert rig.loud[0].severity is Severity.ERROR


def test_another_target_than_the_announced_one_is_not_fired(make: Make) -> None:
    rig = make()
    announced(rig)
    countdown = rig.seen.countdown
    assert countdown is not None
    rig.watch._show(rig.watch._runs[AT], replace(rig.seen, countdown=replace(countdown, version="1.6.0", digest=D1)))
    rig.run(31)
    assert rig.systems.posts == []
    assert [e.detail["message"] for e in rig.journal.entries(3, kinds=("note",)) if e.detail.get("said") == "called off"] == [
        "the version to go back to is another one by now"
    ]


def test_the_second_process_on_the_same_journal_sees_that_it_was_begun(make: Make) -> None:
    one = make(folder="same")
    post = fired(one)
    assert post.kind == "rollback"
    two = make(folder="same")
    two.run(100)
    assert two.systems.posts == []
    assert two.seen.countdown is None
    assert two.seen.action == one.seen.action


def test_a_canary_is_taken_back_as_a_whole_fleet(make: Make) -> None:
    rig = make(bad=False)
    rig.turn("1.7.0")
    rig.run(5)
    rig.errors["1.8.0"] = 0.3
    rig.begin("1.7.0", "4", "rollback")
    rig.run(2)
    rig.end(rig.history[0])
    rig.run(10)
    rig.deploy("1.8.0", "5", nodes=("n0",))
    post = fired(rig)
    assert (post.digest, post.nodes) == (D2, ())
    assert D3 not in {post.digest}
