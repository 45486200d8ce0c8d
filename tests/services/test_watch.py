"""The watch over a deployment: when it begins and ends, what speaks against it, and the one notice of it. Failures first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.domain.alerts import Alert
from cockpit.domain.facts import Fact
from cockpit.domain.judge import NO_DATA, NO_WORSE, UNSURE, WORSE
from cockpit.domain.metrics import Band, LatencyPoint
from cockpit.domain.release import DeployState
from cockpit.domain.rollout import Action, ActionState
from cockpit.domain.strategy import Rollout, RolloutState, Step, StepRun
from cockpit.domain.watching import WatchRule, WatchState
from cockpit.services.alerts import AlertWatch
from cockpit.services.bands import Bands
from cockpit.services.connections import Connected
from cockpit.services.latency import LatencyBook
from cockpit.services.notices import Severity
from cockpit.services.store import LatencyStatus
from cockpit.services.watch import FIRST_S
from cockpit.services.watch_findings import GONE_S
from tests.fakes.rig import D3
from tests.fakes.watch_rig import AT, WatchRig

CALM_S = 600
RULE = WatchRule(minutes=3)
Make = Callable[..., WatchRig]


@pytest.fixture
def make(tmp_path: Path, fake_clock: Any) -> Iterator[Make]:
    made: list[WatchRig] = []

    def build(rule: WatchRule = RULE, calm_s: int = CALM_S, **how: Any) -> WatchRig:
        rig = WatchRig(tmp_path / str(len(made)), fake_clock, rule, **how)
        made.append(rig)
        rig.run(calm_s)
        return rig

    for number in range(3):
        (tmp_path / str(number)).mkdir()
    yield build
    for rig in made:
        rig.close()


def alert(rig: WatchRig, name: str = "HighErrorRate", **fields: Any) -> Alert:
    given = {"service": "gw", "environment": "prod", "since_us": rig.clock(), **fields}
    return Alert(name, name, {"severity": given.pop("severity", "critical")}, {"summary": "5xx is 3 %"}, **given)


def fire(rig: WatchRig, *alerts: Alert) -> None:
    rig.store.merge("alerts", {"am": Fact(alerts, rig.clock(), "Alertmanager", 3600.0)})


# -- what cannot be seen is not fine -------------------------------------------------------------------------------------------------


def test_without_metrics_of_the_new_version_nothing_is_fine(make: Make) -> None:
    rig = make()
    rig.mute = {"n0", "n1", "n2", "n3"}
    rig.deploy()
    rig.run(int(FIRST_S) + 5)
    assert (rig.seen.state, rig.seen.found.state if rig.seen.found else "") == (WatchState.BLIND, NO_DATA)
    rig.run(40)
    (notice,) = rig.loud
    assert (notice.severity, notice.key) == (Severity.WARNING, f"watch:{AT}")
    rig.run(600)
    assert not rig.seen.over, "not over before real load was seen"
    rig.mute = set()
    rig.run(200)
    assert rig.loud == []
    assert rig.seen.requests > 0


def test_a_source_of_metrics_that_ends_in_the_middle_is_not_fine(make: Make) -> None:
    rig = make(WatchRule(minutes=6))
    rig.deploy()
    rig.run(180)
    assert rig.seen.found is not None
    assert rig.seen.found.state == NO_WORSE
    rig.mute = {"n0", "n1", "n2", "n3"}
    rig.run(60)
    assert rig.seen.state is WatchState.BLIND
    assert rig.kinds() == ["silence"]
    rig.run(200)
    assert (rig.seen.over, rig.seen.state) == (True, WatchState.BLIND)


def test_a_service_without_metrics_is_watched_for_the_rest_and_never_fine(make: Make) -> None:
    rig = make(calm_s=10)
    rig.connections.replace((Connected("dep", "dep", "x", ("DeploymentApi", "CiSystem"), ("gw",), rig.systems),))
    rig.mute = {"n0", "n1", "n2", "n3"}
    rig.deploy()
    rig.run(200)
    assert (rig.seen.over, rig.seen.state) == (True, WatchState.BLIND)
    assert rig.loud == [], "what is always so is no incident"


def test_with_little_traffic_it_goes_on_and_says_how_much_was_seen(make: Make) -> None:
    rig = make(WatchRule(minutes=2, requests=2000))
    rig.rate = 0.05
    rig.deploy()
    rig.run(400)
    seen = rig.seen
    assert not seen.over
    assert 0 < seen.requests < seen.wanted == 2000
    assert seen.until_us < rig.clock()


def test_a_restart_begins_a_judge_that_cannot_tell(make: Make) -> None:
    rig = make(calm_s=0)
    begun = rig.begin()
    rig.turn("1.8.0")
    rig.end(begun)
    rig.run(150)
    assert rig.seen.found is not None
    assert rig.seen.found.state == UNSURE
    assert "never saw the load" in rig.seen.found.sentence
    rig.run(60)
    assert (rig.seen.over, rig.seen.state) == (True, WatchState.BLIND)


def test_a_judge_that_fails_is_not_fine(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make()

    def fail(*_: object) -> None:
        raise ZeroDivisionError("no luck")

    monkeypatch.setattr("cockpit.services.judging.Trial.step", fail)
    rig.deploy()
    rig.run(20)
    assert rig.seen.state is WatchState.BLIND
    assert "no luck" in rig.seen.findings[0].text


# -- what is bad ---------------------------------------------------------------------------------------------------------------------


def test_a_slow_version_is_bad_with_numbers_and_one_notice_grows(make: Make) -> None:
    rig = make()
    rig.worse["1.8.0"] = 1.5
    rig.deploy()
    assert rig.run_until(lambda: rig.seen.state is WatchState.BAD, 180)
    verdict = rig.seen.found
    assert verdict is not None
    assert verdict.state == WORSE
    assert 1.3 < verdict.ratio < 1.7
    assert "x baseline" in rig.seen.findings[0].text
    (notice,) = rig.loud
    assert (notice.severity, notice.key, notice.count) == (Severity.ERROR, f"watch:{AT}", 1)
    fire(rig, alert(rig))
    rig.run(5)
    (notice,) = rig.loud
    assert notice.count == 2
    assert "alert HighErrorRate" in notice.message
    rig.run(300)
    assert (rig.seen.over, rig.seen.state) == (True, WatchState.BAD)
    assert [n.key for n in rig.loud] == [f"watch:{AT}"], "it stands until something is done"


def test_failing_requests_are_a_rule_that_waits_for_no_statistics(make: Make) -> None:
    rig = make()
    rig.errors["1.8.0"] = 0.2
    rig.deploy()
    assert rig.run_until(lambda: rig.seen.state is WatchState.BAD, 60)
    assert rig.kinds() == ["rule"]
    assert re.match(r"errors of place_order are \d+\.\d % of [\d,]+ requests, beyond 5\.0 %, ", rig.seen.findings[0].text)


def test_a_critical_alert_that_began_with_it_is_bad_and_told_once(make: Make) -> None:
    rig = make()
    watch = AlertWatch(rig.store, rig.notices, rig.clock)
    began = rig.clock()
    action = Action("k3", "deploy", "gw", "prod", "1.7.0", "d", "1.8.0", D3, "Ada", ActionState.FOLLOWING, intended_at_us=began)
    rig.store.merge("actions", {"k3": action})
    rig.deploy()
    old, mild = alert(rig, "Old", since_us=began - 60_000_000), alert(rig, "Mild", severity="warning")
    fire(rig, old, mild, alert(rig, "Other", service="md"), replace(alert(rig, "Quiet"), state="suppressed", silenced_by=("s",)))
    rig.run(5)
    assert rig.kinds() == []
    fire(rig, alert(rig), old, mild)
    rig.run(5)
    assert rig.kinds() == ["alert"]
    assert rig.seen.state is WatchState.BAD
    assert [n.key for n in rig.loud] == [f"watch:{AT}"], "not shouted twice"
    fire(rig, old)
    rig.run(3)
    assert rig.seen.state is WatchState.WATCHING
    assert rig.loud == []
    watch.close()


def test_the_band_is_not_told_beside_the_watch(make: Make) -> None:
    rig = make()
    bands = Bands(rig.store, LatencyBook(rig.runner, None, rig.clock), rig.notices, rig.clock, lambda action, words: None)
    rig.deploy()

    def left(outside: bool) -> LatencyStatus:
        point = LatencyPoint(rig.clock(), 1.0, 2.0, 9.0, 12.0, 100.0, 0.0, 500)
        return LatencyStatus(point, Band(1.0, 3.0, 60, "1.7.0"), outside)

    bands._say(AT, None, left(True))
    assert rig.loud == []
    rig.store.merge("latency", {AT: Fact(left(True), rig.clock(), "latency", 600.0)})
    rig.run(2)
    assert "band" in rig.kinds(), "while the judge cannot tell it is all there is"
    assert rig.seen.state is WatchState.BLIND
    (notice,) = rig.loud
    assert (notice.key, notice.severity, notice.title) == (f"watch:{AT}", Severity.WARNING, "p99 of gw in prod left its band")
    assert "9.0 ms against at most 3.0 ms" in notice.message
    assert "Shift+R" in notice.hint
    rig.run(150)
    assert rig.seen.found is not None
    assert rig.seen.found.state == NO_WORSE
    assert (rig.kinds(), rig.loud) == ([], []), "the judge knows better"
    rig.run(100)
    assert rig.seen.over
    bands._say(AT, None, left(True))
    assert [n.key for n in rig.loud] == [f"latency:{AT}"]


def test_nodes_that_run_something_else_after_its_end_are_drift(make: Make) -> None:
    rig = make()
    begun = rig.begin()
    rig.turn("1.8.0", "n0", "n1", "n2")
    rig.run(8)
    assert rig.kinds() == [], "while it is under way nodes differ"
    rig.end(begun)
    rig.run(8)
    assert rig.kinds() == [], "what runs may be known before the deployment that brought it"
    rig.run(5)
    assert rig.kinds() == ["drift"]
    assert rig.seen.findings[0].text == "not 1.8.0: n3 runs 1.7.0"
    since = rig.seen.findings[0].since_us
    rig.run(5)
    assert rig.seen.findings[0].since_us == since
    rig.turn("1.8.0", "n3")
    rig.run(2)
    assert rig.seen.state is WatchState.WATCHING
    assert rig.loud == []


def test_nodes_that_change_under_an_action_of_a_person_are_no_drift(make: Make) -> None:
    rig = make()
    rig.deploy()
    rig.run(20)
    about = ("k2", "deploy", "gw", "prod", "1.8.0", "", "1.9.0", "e" * 64, "Rae <rae@playground.invalid>", ActionState.FOLLOWING)
    action = Action(*about, rig.clock())
    rig.store.merge("actions", {"k2": action})
    rig.turn("1.7.0", "n0", "n1")
    rig.run(12)
    assert rig.kinds() == []
    rig.store.merge("actions", {"k2": replace(action, state=ActionState.FAILED)})
    rig.run(12)
    assert rig.kinds() == ["drift"]


def test_a_node_that_is_gone_breaks_a_rule_and_one_that_restarts_does_not(make: Make) -> None:
    rig = make()
    rig.deploy()
    rig.run(30)
    rig.change(nodes=lambda i, n: replace(n, digest="", version="", healthy=None) if i == 2 else n)
    rig.run(int(GONE_S) - 3)
    assert rig.kinds() == []
    rig.change(nodes=lambda i, n: replace(n, digest=D3, version="1.8.0", healthy=True))
    rig.run(10)
    assert rig.kinds() == []
    rig.change(nodes=lambda i, n: replace(n, digest="", version="", healthy=None) if i == 2 else n)
    rig.run(int(GONE_S) + 5)
    assert rig.seen.found is not None
    assert rig.seen.found.broken == ("node n2 is gone, 1 of 4",)


def test_a_node_that_comes_back_is_a_matter_of_the_record(make: Make) -> None:
    rig = make(WatchRule(minutes=6))
    rig.deploy()
    rig.run(30)
    rig.change(nodes=lambda i, n: replace(n, digest="", version="", healthy=None) if i == 2 else n)
    assert rig.run_until(lambda: rig.seen.found is not None and rig.seen.found.bad, 60)
    since_us = rig.seen.found.since_us if rig.seen.found is not None else 0
    rig.change(nodes=lambda i, n: replace(n, digest=D3, version="1.8.0", healthy=True))
    came_us = rig.clock()
    rig.run(10)
    assert rig.seen.found is not None
    assert not rig.seen.found.bad, rig.seen.found.sentence
    assert rig.seen.state is WatchState.WATCHING
    gone = next(f for f in rig.seen.passed if f.text == "node n2 is gone, 1 of 4")
    assert (gone.kind, gone.since_us) == ("rule", since_us)
    assert came_us <= gone.until_us <= came_us + 10_000_000
    (note,) = [e for e in rig.journal.entries(100, kinds=("note",)) if e.detail.get("said") == "passed"]
    assert (note.detail["since_us"] > 0, note.detail["until_us"] >= came_us) == (True, True)
    assert rig.loud == []
    rig.run(330)
    assert (rig.seen.over, rig.seen.state) == (True, WatchState.FINE), rig.seen.findings
    assert any(f.text == "node n2 is gone, 1 of 4" for f in rig.seen.passed)


def test_one_node_without_metrics_is_named(make: Make) -> None:
    rig = make()
    rig.deploy()
    rig.run(20)
    rig.mute = {"n1"}
    rig.run(60)
    (finding,) = rig.seen.findings
    found = re.fullmatch(r"no data from 1 of 4 nodes for (\d+) s: n1", finding.text)
    assert found is not None, finding.text
    assert 55 <= int(found[1]) <= 65
    assert rig.seen.state is WatchState.BLIND


def test_errors_that_pass_are_said_to_have_passed_and_it_is_never_fine_without_a_word(make: Make) -> None:
    """Nothing is known of before, so that no statistics speak: the rule alone does."""
    rig = make(WatchRule(minutes=6), calm_s=60)
    rig.deploy()
    rig.errors["1.8.0"] = 0.2
    assert rig.run_until(lambda: rig.seen.state is WatchState.BAD, 90)
    (rule,) = rig.seen.findings
    rig.errors["1.8.0"] = 0.0
    assert rig.run_until(lambda: rig.seen.state is WatchState.WATCHING, 60), rig.seen.findings
    (passed,) = rig.seen.passed
    assert (passed.kind, passed.since_us, rig.clock() - passed.until_us < 5_000_000) == ("rule", rule.since_us, True)
    assert rig.loud == []
    assert any("errors of place_order were" in n.message and "until" in n.message for n in rig.notices.history)
    assert "passed" in rig.notes()
    rig.run(400)
    assert (rig.seen.over, rig.seen.state) == (True, WatchState.BLIND)
    assert rig.seen.found is not None
    assert rig.seen.found.sentence.startswith("errors of place_order were ")
    assert any(n.title == "gw 1.8.0 did badly for a while in prod" for n in rig.notices.history)


# -- when it begins and ends ---------------------------------------------------------------------------------------------------------


def test_a_good_version_is_fine_after_its_time_and_nobody_was_called(make: Make) -> None:
    rig = make()
    rig.deploy()
    rig.run(178)
    assert not rig.seen.over
    rig.run(10)
    assert (rig.seen.over, rig.seen.state) == (True, WatchState.FINE)
    assert rig.notices.history == ()
    assert rig.notes() == ["watching", "watching", "fine"]
    rig.run(30)
    assert rig.seen.over, "and it does not begin again"


def test_what_ended_long_ago_or_is_only_remembered_is_not_watched(make: Make) -> None:
    rig = make(calm_s=0)
    rig.run(5)
    assert AT not in rig.store.state.watches
    rig.fresh = False
    begun = rig.begin()
    rig.store.merge("deployments", {AT: Fact((begun,), rig.clock() - 60_000_000, "dep", 30.0)})
    rig.store.merge("fleets", {AT: Fact(rig.fleet, rig.clock() - 60_000_000, "dep", 30.0)})
    rig.run(3)
    assert AT not in rig.store.state.watches


def test_a_deployment_that_failed_before_it_changed_a_node_is_not_watched(make: Make) -> None:
    rig = make(calm_s=5)
    begun = replace(rig.begin(), finished_at_us=rig.clock(), state=DeployState.FAILED)
    rig.put(begun)
    rig.run(3)
    assert AT not in rig.store.state.watches


def test_a_newer_deployment_and_a_rollback_end_it(make: Make) -> None:
    rig = make(calm_s=60)
    rig.errors["1.8.0"] = 0.3
    rig.deploy()
    assert rig.run_until(lambda: rig.seen.state is WatchState.BAD, 90)
    back = rig.begin("1.7.0", "4", "rollback")
    rig.run(2)
    assert (rig.seen.deployment, rig.seen.kind, rig.seen.over) == ("4", "rollback", False), "a rollback is watched, too"
    assert "ended early" in rig.notes()
    assert rig.loud == []
    rig.turn("1.7.0")
    rig.end(back)
    rig.run(5)
    rig.deploy("1.8.0", "5")
    assert (rig.seen.deployment, rig.seen.over) == ("5", False)


def test_the_deployments_of_one_rollout_are_one_watch(make: Make) -> None:
    rig = make()
    step = Step("deploy", "gw", "prod", "1.8.0", D3, ("n0",))
    runs = (StepRun(step, action="kc1"), StepRun(replace(step, nodes=("n1", "n2", "n3")), action="kc2"))
    rollout = Rollout("r1", "deploy", "gw, canary", runs, "Ada", state=RolloutState.RUNNING)
    rig.store.merge("rollouts", {"r1": rollout})
    rig.deploy("1.8.0", "c1", nodes=("n0",))
    rig.run(200)
    assert (rig.seen.deployment, rig.seen.over) == ("r1", False), "not over while the rollout goes on"
    assert rig.kinds() == [], "the other nodes are still to come"
    seen = rig.seen.requests
    rig.deploy("1.8.0", "c2", nodes=("n1", "n2", "n3"))
    assert rig.seen.deployment == "r1"
    assert rig.seen.requests > seen
    rig.store.merge("rollouts", {"r1": replace(rollout, state=RolloutState.DONE)})
    rig.run(200)
    assert (rig.seen.over, rig.seen.state) == (True, WatchState.FINE)


def test_a_canary_is_judged_against_the_nodes_beside_it(make: Make) -> None:
    rig = make()
    rig.worse["1.8.0"] = 1.5
    begun = rig.deploy(nodes=("n0",))
    assert begun.steps[0].node == "n0"
    assert rig.run_until(lambda: rig.seen.state is WatchState.BAD, 150)


# -- the market changes, the version does not ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("regime", ["volatile", "crash"])
def test_a_market_that_turns_wild_is_no_regression(make: Make, regime: str) -> None:
    rig = make(WatchRule(minutes=10, automatic=True))
    rig.deploy()
    rig.run(60)
    rig.regime = regime
    for _ in range(54):
        rig.run(10)
        assert rig.seen.state is not WatchState.BAD, rig.seen.findings
    rig.run(30)
    assert (rig.seen.over, rig.systems.posts) == (True, [])
    assert rig.seen.state is WatchState.BLIND, "that load was never seen on the version before: nobody can say that it is fine"


def test_a_canary_in_a_market_that_turns_wild_is_compared_with_its_neighbours(make: Make) -> None:
    rig = make(WatchRule(minutes=10))
    rig.deploy(nodes=("n0",))
    rig.run(60)
    rig.regime = "volatile"
    rig.run(240)
    assert rig.seen.found is not None
    assert rig.seen.found.state == NO_WORSE, rig.seen.found.sentence


def test_a_market_that_was_seen_wild_before_can_be_judged(make: Make) -> None:
    rig = make(WatchRule(minutes=10), calm_s=300)
    rig.regime = "volatile"
    rig.run(400)
    rig.regime = "calm"
    rig.run(100)
    rig.deploy()
    rig.run(60)
    rig.regime = "volatile"
    rig.run(300)
    assert rig.seen.found is not None
    assert rig.seen.found.state in (NO_WORSE, UNSURE)
    assert "never saw" not in rig.seen.found.sentence
