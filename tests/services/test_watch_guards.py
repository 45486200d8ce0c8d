"""What an automatic rollback must survive: clocks that jump, settings that change, systems that forget, defects. Failures only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.domain.alerts import Alert
from cockpit.domain.errors import StorageError
from cockpit.domain.facts import Fact
from cockpit.domain.judge import NO_WORSE, UNSURE
from cockpit.domain.release import Deployment, DeployState
from cockpit.domain.watching import AUTOMATIC, MOST_EACH, MOST_WORDS, WatchRule, WatchState
from cockpit.services import judging, watch_findings
from cockpit.services.watch_auto import key_of
from tests.fakes.rig import D1, D3
from tests.fakes.watch_rig import AT, WatchRig

RULE = WatchRule(minutes=10, automatic=True, countdown_s=30, settle_s=20)
Make = Callable[..., WatchRig]


@pytest.fixture
def make(tmp_path: Path, fake_clock: Any) -> Iterator[Make]:
    made: list[WatchRig] = []

    def build(rule: WatchRule = RULE, *, bad: bool = True, calm_s: int = 60, **how: Any) -> WatchRig:
        home = tmp_path / str(len(made))
        home.mkdir()
        rig = WatchRig(home, fake_clock, rule)
        made.append(rig)
        rig.run(calm_s)
        rig.errors["1.8.0"] = 0.3 if bad else 0.001
        rig.deploy(**how)
        return rig

    yield build
    for rig in made:
        rig.close()


def announced(rig: WatchRig) -> None:
    assert rig.run_until(lambda: rig.seen.countdown is not None, 150), (rig.seen.why_not, rig.seen.findings)


def called_off(rig: WatchRig) -> list[str]:
    notes = rig.journal.entries(100, kinds=("note",))
    return [str(e.detail["message"]) for e in notes if e.detail.get("said") == "called off"]


def quiet(rig: WatchRig, seconds: int = 60) -> str:
    """Nothing is announced or sent for so long; why."""
    assert not rig.run_until(lambda: rig.seen.countdown is not None or bool(rig.systems.posts), seconds)
    return rig.seen.why_not


# -- clocks --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [12, 27, 33, 3600])
def test_a_clock_that_jumps_takes_nobody_the_time_to_stop_it(make: Make, seconds: int) -> None:
    rig = make()
    announced(rig)
    rig.run(2)
    first = rig.seen.countdown
    rig.set_clock(seconds)
    rig.run(1)
    assert rig.run_until(lambda: rig.seen.countdown not in (None, first), 150) or seconds == 3600, rig.seen.why_not
    assert rig.systems.posts == []
    assert any("the clock moved by" in words for words in called_off(rig))
    if rig.seen.countdown is not None:
        rig.run(20)
        assert rig.systems.posts == [], "the whole time, again"


def test_woken_by_an_alert_before_the_timer_it_is_not_fired_either(make: Make) -> None:
    rig = make()
    announced(rig)
    rig.set_clock(33)
    rig.refresh()
    rig.store.merge("alerts", {"am": Fact((), rig.clock(), "Alertmanager", 3600.0)})
    rig.main.settle()
    assert rig.systems.posts == []


def test_a_clock_that_is_set_back_leaves_nobody_blind(make: Make) -> None:
    rig = make(bad=False, calm_s=300)
    rig.run(30)
    before = rig.seen.requests
    assert before > 0
    rig.set_clock(-3600)
    rig.errors["1.8.0"] = 0.3
    rig.run(120)
    seen = rig.seen
    assert seen.requests > 0, "it looks"
    assert seen.looked_us > rig.clock() - 10_000_000
    assert seen.state is WatchState.BAD
    assert seen.started_us <= rig.clock()


def test_a_countdown_does_not_last_an_hour_when_the_clock_is_set_back(make: Make) -> None:
    rig = make()
    announced(rig)
    rig.set_clock(-3600)
    rig.run(2)
    assert rig.seen.countdown is None
    rig.run(150)
    assert rig.seen.countdown is None or rig.seen.countdown.at_us < rig.clock() + 31_000_000


def test_facts_from_the_time_before_the_clock_was_set_back_arm_nothing() -> None:
    fact = Fact(1, 1_000_000_000, "dep", 30.0)
    assert not fact.stale(999_000_000), "clocks of two machines differ"
    assert fact.stale(1_000_000_000 - 31_000_000)


def test_time_asleep_is_no_watching(make: Make) -> None:
    rig = make(replace(RULE, minutes=6), bad=False, calm_s=600)
    rig.run(200)
    assert rig.seen.found is not None
    assert (rig.seen.found.state, rig.seen.requests > 2000) == (NO_WORSE, True)
    rig.set_clock(3600)
    rig.run(1)
    assert not rig.seen.over
    assert rig.seen.state is not WatchState.FINE
    assert rig.run_until(lambda: rig.seen.over, 300)


def test_a_system_whose_clock_is_behind_does_not_lend_it_the_failures_of_before(make: Make, fake_clock: Any) -> None:
    """1.8.0 failed, was taken back, and comes again repaired by its settings; the system's clock is an hour late."""
    rig = make(replace(RULE, automatic=False), started_at_us=fake_clock() - 3_540_000_000)
    rig.run(40)
    assert rig.seen.state is WatchState.BAD
    rig.begin("1.7.0", "4", "rollback", started_at_us=rig.clock() - 3_600_000_000)
    rig.turn("1.7.0")
    rig.run(6)
    rig.end(rig.history[0])
    rig.run(120)
    rig.errors["1.8.0"] = 0.001
    rig.deploy("1.8.0", "5", started_at_us=rig.clock() - 3_600_000_000)
    rig.run(60)
    assert rig.seen.deployment == "5"
    assert rig.seen.state is not WatchState.BAD, rig.seen.findings


# -- settings ------------------------------------------------------------------------------------------------------------------------


def test_switched_off_in_the_middle_it_does_not_happen(make: Make) -> None:
    rig = make()
    announced(rig)
    rig.set_rule(replace(RULE, automatic=False))
    rig.run(60)
    assert rig.systems.posts == []
    assert (rig.seen.countdown, rig.seen.automatic) == (None, False)
    assert "the settings do not want it any more" in called_off(rig)


def test_switched_off_in_the_last_moment_it_does_not_happen(make: Make) -> None:
    rig = make()
    announced(rig)
    countdown = rig.seen.countdown
    assert countdown is not None
    rig.run(int((countdown.at_us - rig.clock()) / 1e6) - 1)
    rig.clock.advance(1)
    rig.refresh()
    rig.watch._look(rig.watch._runs[AT], rig.clock())
    rig.set_rule(replace(RULE, automatic=False))
    rig.main.settle()
    assert rig.systems.posts == []


# -- whose version is it? --------------------------------------------------------------------------------------------------------------


def test_a_repair_that_somebody_put_there_by_hand_is_not_taken_away(make: Make) -> None:
    """Not in the history: the system learns of it by the nodes alone."""
    rig = make()
    announced(rig)
    rig.change(nodes=lambda i, n: replace(n, version="1.8.1", digest="d" * 64) if i == 0 else n)
    rig.errors["1.8.1"] = 0.0
    rig.run(60)
    assert rig.systems.posts == []
    assert "1.8.1 runs there, too: a person decides" in called_off(rig)


def test_a_version_that_runs_nowhere_any_more_is_not_taken_back(make: Make) -> None:
    """A person's way back has ended, the history does not tell of it yet."""
    rig = make()
    announced(rig)
    rig.turn("1.7.0")
    rig.run(40)
    assert rig.systems.posts == []
    assert rig.seen.countdown is None


def test_a_way_back_of_a_system_that_does_not_say_from_where_is_not_undone(make: Make) -> None:
    rig = make(bad=False)
    rig.run(10)
    rig.errors["1.6.0"] = 0.3
    rig.commits("c6", "c8")
    rig.commits("c6", "c7")
    rig.deploy("1.6.0", "4", from_version="", from_digest="")
    rig.run(60)
    assert rig.seen.state is WatchState.BAD
    assert "a person decides" in quiet(rig)


def test_nodes_that_the_system_cannot_reach_are_not_gone_while_they_tell_their_metrics(make: Make) -> None:
    rig = make(bad=False, calm_s=300)
    rig.run(60)
    nodes = rig.fleet.nodes
    rig.change(nodes=lambda i, n: replace(n, healthy=None, digest="", version="") if i == 0 else n)
    for _ in range(40):
        told = rig.fleet
        rig.store.merge("fleets", {AT: Fact(replace(told, nodes=nodes), rig.clock(), "dep", 30.0)})
        rig.read()
        rig.store.merge("fleets", {AT: Fact(told, rig.clock(), "dep", 30.0)})
        rig.run(1)
    assert rig.seen.found is not None
    assert not rig.seen.found.bad, rig.seen.found.sentence


# -- what is not known -------------------------------------------------------------------------------------------------------------------


def test_what_the_judge_said_long_ago_is_neither_fine_nor_reason_to_act(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make(replace(RULE, minutes=4), bad=False, calm_s=600)
    rig.run(200)
    assert rig.seen.found is not None
    assert rig.seen.found.state == NO_WORSE
    rig.watch._runs[AT].judging = True  # it hangs
    rig.run(120)
    assert not rig.seen.over
    assert rig.seen.state is WatchState.BLIND
    assert "the judge said nothing for" in rig.seen.findings[0].text


def test_a_hanging_judges_word_is_not_acted_on(make: Make) -> None:
    rig = make(replace(RULE, settle_s=100))
    rig.run(40)
    assert rig.seen.found is not None
    bad = replace(rig.seen, verdict=replace(rig.seen.found, state="worse", broken=("x",), since_us=rig.clock()))
    run = rig.watch._runs[AT]
    assert "the judge said nothing for 60 s" in rig.watch._auto.why_not(run, bad, bad.verdict.at_us + 60_000_000)


def test_a_journal_that_could_not_be_read_once_is_read_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = [True]
    from cockpit.storage.journal import Journal

    real = Journal.entries

    def entries(self: Journal, *given: Any, **named: Any) -> Any:
        if failing:
            raise StorageError("The disk does not answer.")
        return real(self, *given, **named)

    monkeypatch.setattr(Journal, "entries", entries)
    rig = make()
    rig.run(30)
    failing.clear()
    announced(rig)


def test_a_stop_that_cannot_be_recorded_holds_and_is_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make()
    announced(rig)

    def full(*_: object, **__: object) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(rig.journal, "append", full)
    rig.watch.stop("gw", "prod", "we know")
    rig.run(60)
    assert rig.systems.posts == []
    assert any(n.key == "watch-journal" and "The disk is full." in n.message for n in rig.loud)


def test_a_stop_is_found_again_behind_any_number_of_notes(make: Make) -> None:
    rig = make()
    announced(rig)
    rig.watch.stop("gw", "prod", "we know")
    rig.main.settle()
    for _ in range(210):
        rig.journal.append("note", "other", "proof", "", "gw", "staging", {})
    run = rig.watch._runs[AT]
    run.stopped_by, run.read = "", False
    rig.watch._auto.read(run)
    assert "it was stopped by Ada" in quiet(rig)


def test_closing_during_a_countdown_is_written_down(make: Make) -> None:
    rig = make()
    announced(rig)
    rig.watch.close()
    rig.main.settle()
    assert called_off(rig)[:1] == ["the window was closed"]
    assert rig.notes()[-1] == WatchState.BLIND, "and nobody takes what it said last for what is"
    assert rig.systems.posts == []


# -- a system that begins anew -------------------------------------------------------------------------------------------------------------


def test_an_id_that_the_system_uses_again_is_another_deployment(make: Make) -> None:
    rig = make(replace(RULE, minutes=1, requests=0, automatic=False), bad=False)
    assert rig.run_until(lambda: rig.seen.over, 200)
    run_before = rig.seen
    rig.run(60)
    rig.history = []
    rig.deploy("1.6.0", "3", from_version="1.8.0")
    assert (rig.seen.deployment, rig.seen.version, rig.seen.over) == ("3", "1.6.0", False)
    assert rig.seen.started_us > run_before.started_us


def test_its_rollback_has_another_key_and_its_stop_is_its_own(make: Make) -> None:
    rig = make()
    announced(rig)
    run = rig.watch._runs[AT]
    first = key_of(run)
    rig.watch.stop("gw", "prod", "we know")
    rig.main.settle()
    run.deployment = replace(run.deployment, version="1.9.0", digest=D1)
    assert key_of(run) != first
    assert rig.watch._auto._past(run, key_of(run)).stopped_by == ""


def test_an_id_of_before_at_another_time_is_watched(make: Make) -> None:
    rig = make(replace(RULE, minutes=1, requests=0, automatic=False), bad=False)
    assert rig.run_until(lambda: rig.seen.over, 200)
    rig.run(30)
    rig.history = [d for d in rig.history if d.id != "3"]
    rig.turn("1.7.0")
    rig.run(10)
    rig.deploy("1.8.0", "3")
    assert not rig.seen.over


# -- defects -------------------------------------------------------------------------------------------------------------------------------


def test_a_defect_in_one_place_leaves_nobody_without_a_watch(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make()
    announced(rig)
    broken = [True]
    real = watch_findings.expected_now

    def fails(*given: Any) -> Any:
        if broken:
            raise RuntimeError("nobody thought of this")
        return real(*given)

    monkeypatch.setattr(watch_findings, "expected_now", fails)
    rig.run(40)
    assert rig.systems.posts == []
    assert rig.seen.countdown is None
    assert any("nobody thought of this" in f"{n.title} {n.message}" for n in rig.notices.history)
    broken.clear()
    announced(rig)


def test_an_error_while_it_is_sent_is_said_and_not_tried_each_second(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make()
    announced(rig)
    tried = []

    def fire(*given: Any, **named: Any) -> None:
        tried.append(given)
        raise StorageError("The disk is full.")

    monkeypatch.setattr(rig.actions, "fire", fire)
    rig.run(40)
    assert len(tried) == 1
    assert "The disk is full." in called_off(rig)


def test_what_is_another_word_again_is_written_again(make: Make) -> None:
    """The terminal believes the newest word."""
    rig = make(replace(RULE, automatic=False))
    rig.run(60)
    assert rig.notes()[-1] == "bad"
    run = rig.watch._runs[AT]
    calm = replace(rig.seen, state=WatchState.WATCHING, findings=())
    rig.watch._show(run, calm)
    rig.clock.advance(2)
    rig.refresh()
    rig.run(70)
    assert rig.notes()[-1] == "bad"


def test_one_by_another_windows_robot_counts_though_its_clock_goes_before(make: Make) -> None:
    rig = make()
    theirs = Deployment("a0", "ka", "gw", "prod", "1.7.0", D3, "rollback", DeployState.SUCCEEDED, reason=f"{AUTOMATIC}p99 doubled")
    rig.history.append(replace(theirs, started_at_us=rig.clock() - 600_000_000, finished_at_us=rig.clock() - 500_000_000))
    assert "there was an automatic action within" in quiet(rig)


# -- what broke and passed -------------------------------------------------------------------------------------------------------------


def said(rig: WatchRig, what: str) -> list[str]:
    notes = rig.journal.entries(500, kinds=("note",))
    return [str(e.detail["message"]) for e in reversed(notes) if e.detail.get("said") == what]


def test_a_rollback_announced_for_a_rule_alone_is_called_off_with_a_word_once_that_has_passed(make: Make) -> None:
    rig = make(replace(RULE, countdown_s=60))
    announced(rig)
    rig.errors["1.8.0"] = 0.0
    assert rig.run_until(lambda: rig.seen.countdown is None, 59), rig.seen.findings
    assert rig.seen.why_not.startswith("it has passed: errors of place_order were ")
    assert rig.seen.state is WatchState.WATCHING
    (word,) = said(rig, "called off")
    assert word == rig.seen.why_not
    assert "it has passed" in quiet(rig, 120)


def test_what_comes_and_goes_is_announced_anew_once_and_stays_bad(make: Make) -> None:
    """A robot that says it will, will not, will, will not is no use to anybody."""
    rig = make(replace(RULE, countdown_s=60, minutes=30))
    announced(rig)
    for _ in range(2):
        rig.errors["1.8.0"] = 0.0
        rig.run(30)
        rig.errors["1.8.0"] = 0.3
        rig.run(30)
    rig.errors["1.8.0"] = 0.0
    rig.run(300)
    assert len(said(rig, "announced")) <= 2
    assert len(said(rig, "called off")) == 1
    assert len(rig.systems.posts) == 1, "it came again and stayed: that is one rollback"
    assert rig.systems.posts[0].reason.startswith(f"{AUTOMATIC}errors of place_order are ")
    assert " again, after " in rig.systems.posts[0].reason


def test_a_rule_that_ends_in_the_last_moment_sends_nothing(make: Make) -> None:
    """Between the end of the countdown and the journal's answer it passed."""
    rig = make()
    announced(rig)
    run = rig.watch._runs[AT]
    rig.run(28)
    assert run.heard is not None
    verdict = run.heard.verdict
    assert verdict is not None
    assert verdict.broken
    over = replace(verdict, state=UNSURE, broken=(), broken_us=(), was=("errors of place_order were 30.0 %",))
    run.heard = replace(run.heard, verdict=over)
    run.judging = True  # its next word is late
    rig.run(10)
    assert rig.systems.posts == []
    assert "it has passed" in rig.seen.why_not


# -- how long a text may be ------------------------------------------------------------------------------------------------------------


def long_texts(entries: Any) -> dict[str, int]:
    return {
        f"{e.detail.get('said')}:{name}": len(v) for e in entries for name, v in e.detail.items() if isinstance(v, str) and len(v) > 1200
    }


def test_whatever_sources_say_everything_sent_out_stays_short(make: Make) -> None:
    """Reason, announcement, journal and notice: deployment systems refuse reasons of 4,000 characters, and people do not read them."""
    rig = make(replace(RULE, rollback_on=("alerts",)), bad=False)
    rig.run(30)
    wordy = [
        Alert(f"a{n}", "A" * 200, {"severity": "critical"}, {"summary": "5xx\n" * 500}, rig.clock(), service="gw", environment="prod")
        for n in range(30)
    ]
    rig.store.merge("alerts", {"am": Fact(tuple(wordy), rig.clock(), "Alertmanager", 3600.0)})
    announced(rig)
    assert rig.seen.countdown is not None
    assert len(rig.seen.countdown.why) <= MOST_WORDS
    assert max(len(f.text) for f in rig.seen.findings) <= MOST_EACH
    assert rig.run_until(lambda: bool(rig.systems.posts), 60), rig.seen.why_not
    (post,) = rig.systems.posts
    assert len(post.reason) <= 1_100
    assert "\n" not in post.reason
    assert long_texts(rig.journal.entries(500)) == {}
    assert max(len(n.message) for n in rig.notices.history) <= 1_100


def test_operations_with_endless_names_make_no_endless_reason(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    step = judging.Trial.step

    def endless(trial: judging.Trial, *given: Any) -> judging.Heard:
        heard = step(trial, *given)
        verdict = heard.verdict
        if verdict is not None and verdict.broken:
            broken = tuple(f"errors of {'x' * 3000}{n} are 20 %" for n in range(20))
            verdict = replace(verdict, sentence="; ".join(broken), broken=broken, broken_us=verdict.broken_us * 20)
        return replace(heard, verdict=verdict)

    monkeypatch.setattr(judging.Trial, "step", endless)
    rig = make()
    assert rig.run_until(lambda: bool(rig.systems.posts), 120), rig.seen.why_not
    assert len(rig.systems.posts[0].reason) <= 1_100
    assert long_texts(rig.journal.entries(500)) == {}
    assert max(len(n.message) for n in rig.notices.history) <= 1_100


def test_a_stop_with_an_endless_reason_is_cut(make: Make) -> None:
    rig = make()
    announced(rig)
    rig.watch.stop("gw", "prod", "because " * 5000)
    rig.run(3)
    assert len(rig.seen.stopped_by) <= 1_200
    assert long_texts(rig.journal.entries(500)) == {}
