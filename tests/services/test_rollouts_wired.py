"""Rollouts through the real actions: every step is planned anew, and the plan of a step knows the rollout it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.domain.calendar import Freeze, Freezes
from cockpit.domain.checks import CheckRun, CheckState, Suite
from cockpit.domain.errors import NotAllowed, Unreachable
from cockpit.domain.facts import Fact, place
from cockpit.domain.judge import NO_WORSE, Verdict
from cockpit.domain.metrics import Band, LatencyPoint
from cockpit.domain.policy import Rules
from cockpit.domain.release import Changes, Version
from cockpit.domain.rollout import Action, LineState, RolloutPlan
from cockpit.domain.statements import Statement
from cockpit.domain.strategy import Rollout, RolloutState, ServiceSet, Step, StepRun, StepSpec, StepState, Strategy
from cockpit.domain.watching import Finding, Watched, WatchState
from cockpit.services import rollout_back, status
from cockpit.services.actions import Actions, Person
from cockpit.services.carrying import carry_out
from cockpit.services.connections import Connected, Connections
from cockpit.services.rollout_hands import Hands
from cockpit.services.rollout_wiring import Gates, hands_of
from cockpit.services.store import LatencyStatus, changes_key
from tests.fakes.ports import digest_of
from tests.fakes.rolling import CANARY, ENVIRONMENT, SERVICES, Desk, Estate

VERSIONS = ("1.2.0", "1.1.0", "1.0.0")


class WiredDesk(Desk):
    """A desk whose rollouts act through the real actions."""

    def hands(self) -> Hands:
        ports = (("dep", "DeploymentApi", self.estate.api), ("venue", "Venue", self.estate.venue), ("lb", "Traffic", self.estate.traffic))
        self.connections.replace(tuple(Connected(i, i, "fake", (p,), SERVICES, system) for i, p, system in ports))
        parts = (self.store, self.runner, self.journal, self.connections, self.notices, self.execution, self.clock)
        self.actions = Actions(*parts)
        self.actions.me = Person("Rae", "rae@playground.invalid")
        self.actions.rules = self.rules
        return hands_of(self.actions, self.connections, self.store, self.clock)

    def poll(self) -> None:
        super().poll()
        now = self.clock()
        for service in SERVICES:
            found = tuple(Version(service, v, f"v{v}", digest_of(f"c {service} {v}")[:40], 1) for v in VERSIONS)
            runs = tuple(self.checked(v) for v in found)
            self.store.merge("versions", {service: Fact(found, now, "git")})
            self.store.merge("artifacts", {service: Fact(self.estate.api.artifacts(service), now, "dep")})
            self.store.merge("checks", {service: Fact(runs, now, "ci")})
            at = place(service, ENVIRONMENT)
            self.store.merge("deployments", {at: Fact(self.estate.api.history(service, ENVIRONMENT), now, "dep")})

    def checked(self, version: Version) -> CheckRun:
        suite = Suite("unit", CheckState.PASSED, 2, 2)
        return CheckRun(f"r{version.name}", version.service, version.name, version.commit, CheckState.PASSED, (suite,), 1, 2)


@pytest.fixture
def estate(tmp_path: Path, fake_clock: Any) -> Estate:
    made = Estate(tmp_path, fake_clock)
    for service in SERVICES:
        past = next(d for d in made.api.history(service, ENVIRONMENT) if d.service == service)
        older = replace(
            past, id=f"o-{service}", version="1.0.0", digest=digest_of(f"{service} 1.0.0"), started_at_us=past.started_at_us - 10**9
        )
        made.api.put(replace(older, finished_at_us=older.started_at_us + 30_000_000))
    return made


@pytest.fixture
def desk(estate: Estate) -> Iterator[WiredDesk]:
    made = WiredDesk(estate)
    yield made
    made.close()


def test_a_canary_passes_the_real_preflight_at_every_step(desk: WiredDesk) -> None:
    key = desk.begin()
    rollout = desk.finish(key)
    assert rollout.state is RolloutState.DONE, rollout
    assert set(desk.estate.runs("gateway").values()) == {"1.2.0"}
    assert [p.nodes for p in desk.estate.posts] == [("gateway-1",), ("gateway-2", "gateway-3")]
    assert all("because" in p.reason for p in desk.estate.posts)


def test_a_canary_goes_back_through_the_real_preflight(desk: WiredDesk) -> None:
    key = desk.begin()
    desk.run(key)
    desk.rollouts.back(key, "p99")
    rollout = desk.finish(key)
    assert rollout.state is RolloutState.BACK, rollout
    assert set(desk.estate.runs("gateway").values()) == {"1.1.0"}


def test_a_set_goes_back_through_the_real_preflight(desk: WiredDesk) -> None:
    key = desk.begin_set()
    rollout = desk.finish(key)
    assert rollout.state is RolloutState.DONE, rollout
    assert [p.service for p in desk.estate.posts] == ["gateway", "risk", "market"]
    assert [p.nodes for p in desk.estate.posts] == [()] * 3, "a step of all nodes asks nothing of a system that knows no single ones"


def test_a_set_whose_second_service_is_refused_undoes_the_first(estate: Estate) -> None:
    desk = WiredDesk(estate, on_failure="back")
    done: list[str] = []

    def refuse(request: Any, _: str) -> None:
        done.append(request.service)
        if request.service == "risk":
            raise Unreachable("gone")

    estate.api.hooks["deploy"] = refuse
    key = desk.begin_set()
    assert desk.finish(key).state is RolloutState.PAUSED
    desk.rollouts.back(key, "enough")
    rollout = desk.finish(key)
    assert rollout.state is RolloutState.BACK, rollout
    assert set(estate.runs("gateway").values()) == {"1.1.0"}
    desk.close()


def test_a_system_without_single_nodes_gets_a_step_of_all_nodes_without_names(estate: Estate) -> None:
    desk = WiredDesk(estate, Strategy("", ()))
    key = desk.begin()
    assert desk.finish(key).state is RolloutState.DONE
    assert [p.nodes for p in estate.posts] == [()]
    desk.close()


WHERE = ("gateway", ENVIRONMENT, "1.2.0", digest_of("gateway 1.2.0"))
STEP = Step("gate", *WHERE)


def ask(desk: WiredDesk, name: str) -> tuple[LineState, str]:
    return Gates(desk.actions, desk.store, desk.clock).ask(name, STEP)


def test_gates_that_nobody_can_answer_are_unknown(desk: WiredDesk) -> None:
    assert ask(desk, "verdict")[0] is LineState.UNKNOWN
    assert ask(desk, "moon")[0] is LineState.UNKNOWN
    assert ask(desk, "checks") == (LineState.OK, "tests are passed")
    desk.seen = False
    desk.clock.advance(60)
    for name in ("checks", "fleet"):
        state, words = ask(desk, name)
        assert state is LineState.UNKNOWN
        assert "60 s old" in words


def test_gates_say_what_is_against_it(desk: WiredDesk) -> None:
    at = place("gateway", ENVIRONMENT)
    point = LatencyPoint(desk.clock(), 1.0, 2.0, 9.0, 12.0, 100.0, 0.0, 500)
    desk.store.merge("latency", {at: Fact(LatencyStatus(point, Band(1.0, 3.0, 60, "1.1.0"), True), desk.clock(), "latency")})
    assert ask(desk, "verdict") == (LineState.BLOCKED, "p99 9.00 ms, band 1.00 to 3.00 ms of 1.1.0")
    assert ask(desk, "fleet")[0] is LineState.OK
    held = Statement("hold", "gateway", ENVIRONMENT, "1.2.0", "", STEP.digest, "ada@x", "Ada", "wrong fills", desk.clock(), id="h1")
    desk.store.apply(statements=(held,))
    assert ask(desk, "freeze") == (LineState.BLOCKED, "1.2.0 is held: wrong fills")
    desk.store.apply(statements=())
    assert ask(desk, "freeze")[0] in (LineState.OK, LineState.UNKNOWN)


def test_the_watch_over_the_version_answers_the_verdict(desk: WiredDesk) -> None:
    at, now = place("gateway", ENVIRONMENT), desk.clock()
    point = LatencyPoint(now, 1.0, 2.0, 2.0, 12.0, 100.0, 0.0, 500)
    desk.store.merge("latency", {at: Fact(LatencyStatus(point, Band(1.0, 3.0, 60, "1.1.0"), False), now, "latency")})
    assert ask(desk, "verdict")[0] is LineState.OK, "where nobody judges, the band does"

    def watched(state: WatchState, verdict: str = "", *findings: Finding, **more: Any) -> tuple[LineState, str]:
        judged = Verdict(verdict, f"the judge: {verdict}", more.pop("at_us", now)) if verdict else None
        version = more.pop("version", "1.2.0")
        made = Watched("gateway", ENVIRONMENT, "d", "deploy", version, "1.1.0", now, state=state, verdict=judged, findings=findings, **more)
        desk.store.merge("watches", {at: made})
        return ask(desk, "verdict")

    slower = Finding("verdict", "p99 of order is 2.4 x baseline", now)
    assert watched(WatchState.BAD, "worse", slower) == (LineState.BLOCKED, slower.text)
    alert = Finding("alert", "alert HighErrorRate", now)
    assert watched(WatchState.BAD, NO_WORSE, alert) == (LineState.BLOCKED, alert.text)
    assert watched(WatchState.BLIND, "no data", Finding("silence", "nothing was seen", now)) == (LineState.UNKNOWN, "nothing was seen")
    assert watched(WatchState.WATCHING)[0] is LineState.UNKNOWN
    assert watched(WatchState.WATCHING, "cannot tell yet")[0] is LineState.UNKNOWN
    assert watched(WatchState.WATCHING, NO_WORSE, at_us=now - 60_000_000)[0] is LineState.UNKNOWN, "said long ago"
    assert watched(WatchState.WATCHING, NO_WORSE) == (LineState.OK, f"the judge: {NO_WORSE}")
    assert watched(WatchState.FINE, NO_WORSE, at_us=now - 60_000_000, ended_us=now)[0] is LineState.OK
    assert watched(WatchState.BAD, "worse", slower, version="1.1.0")[0] is LineState.OK, "another version's watch says nothing of this one"


def test_a_watch_that_ended_early_or_before_lets_no_gate_pass(desk: WiredDesk) -> None:
    at, now = place("gateway", ENVIRONMENT), desk.clock()
    point = LatencyPoint(now, 1.0, 2.0, 2.0, 12.0, 100.0, 0.0, 500)
    desk.store.merge("latency", {at: Fact(LatencyStatus(point, Band(1.0, 3.0, 60, "1.1.0"), False), now, "latency")})
    judged = Verdict(NO_WORSE, "fine", now)
    made = Watched("gateway", ENVIRONMENT, "d", "deploy", "1.2.0", "1.1.0", now, verdict=judged)
    taken_back = replace(made, state=WatchState.STOPPED, ended_us=now, why_not="another deployment began")
    desk.store.merge("watches", {at: taken_back})
    state, words = ask(desk, "verdict")
    assert state is LineState.UNKNOWN, "the version before is well again, which says nothing of this one"
    assert "ended early" in words

    desk.store.merge("watches", {at: replace(made, state=WatchState.FINE, ended_us=now)})
    assert ask(desk, "verdict")[0] is LineState.OK
    desk.clock.advance(5)
    brought = StepRun(Step("deploy", *WHERE), StepState.DONE, action="a", started_at_us=desk.clock())
    desk.store.merge("rollouts", {"r": Rollout("r", "canary", "Canary", (brought, StepRun(STEP)), "Ada <ada@x>")})
    assert ask(desk, "verdict") == (LineState.UNKNOWN, "latency: the watch over what was deployed now has not begun")


def test_a_fleet_gate_knows_what_the_rollout_wants_and_names_the_odd_node(desk: WiredDesk) -> None:
    key = desk.begin()
    desk.run(key)
    assert ask(desk, "fleet")[0] is LineState.OK
    nodes = desk.estate.api._nodes
    nodes["gateway-2"] = replace(nodes["gateway-2"], version="1.0.0", digest=digest_of("gateway 1.0.0"))
    desk.poll()
    assert ask(desk, "fleet") == (LineState.BLOCKED, "gateway-2 runs 1.0.0")


def test_nothing_connected_means_no_port(fake_clock: Any, desk: WiredDesk) -> None:
    empty = hands_of(desk.actions, Connections(), desk.store, fake_clock)
    assert empty.traffic("gateway") is None
    assert empty.venue("gateway") is None
    with pytest.raises(Unreachable):
        empty.look("gateway", ENVIRONMENT)
    desk.actions.me = Person("", "")
    assert "who you are" in empty.why_not()
    assert isinstance(empty.rules(), Rules)
    assert CANARY.steps[0] == StepSpec("mode", mode="post-only")
    assert empty.rules().sets["trading"] == ServiceSet("trading", ("gateway", "market", "risk"), "stop")


# -- taken back while it waits -----------------------------------------------------------------------------------------------


def taken_back(desk: WiredDesk, reason: str) -> str:
    """A canary that waits at its hold, and a rollback of it that nobody there began."""
    key = desk.begin()
    desk.run(key)
    held = desk.rollout(key)
    assert any(run.state is StepState.HELD for run in held.steps)
    back = desk.actions.plan("rollback", "gateway", ENVIRONMENT)
    assert isinstance(back, RolloutPlan), back
    action = desk.actions.fire(back, reason)
    for _ in range(480):
        desk.main.run_for(0.25)
        if desk.store.state.actions[action.key].state.final:
            break
    desk.poll()
    desk.main.run_for(2)
    return key


def test_a_held_rollout_does_not_go_on_with_what_was_rolled_back_by_itself(desk: WiredDesk) -> None:
    key = taken_back(desk, "automatic: p99 doubled")
    assert desk.rollout(key).state is RolloutState.PAUSED
    assert "1.2.0 was rolled back in production at" in desk.rollout(key).message
    sent = len(desk.estate.posts)
    for reason in ("", "I insist"):
        with pytest.raises(NotAllowed, match=r"1\.2\.0 was rolled back in production at .*automatic: p99 doubled") as caught:
            desk.rollouts.go_on(key, reason)
        assert "begin a new rollout" in caught.value.hint
    desk.run(key)
    assert len(desk.estate.posts) == sent
    assert set(desk.estate.runs("gateway").values()) == {"1.1.0"}
    assert ask(desk, "verdict")[0] is not LineState.OK


def test_it_can_still_be_ended_and_a_new_one_is_another(desk: WiredDesk) -> None:
    key = taken_back(desk, "automatic: p99 doubled")
    desk.rollouts.back(key, "tidy up")
    assert desk.finish(key).state is RolloutState.BACK
    assert set(desk.estate.runs("gateway").values()) == {"1.1.0"}
    desk.clock.advance(60)
    desk.poll()
    again = desk.begin()
    desk.run(again)
    assert any(run.state is StepState.HELD for run in desk.rollout(again).steps), "the rollback of before is none of this one"


def test_a_rollback_of_before_is_told_by_order_or_by_time(desk: WiredDesk) -> None:
    at, now = place("gateway", ENVIRONMENT), desk.clock()
    brought = StepRun(Step("deploy", *WHERE), StepState.DONE, action="a", started_at_us=now)
    rollout = Rollout("r", "deploy", "Canary", (brought, StepRun(STEP)), "Ada <ada@x>")
    past = replace(desk.store.state.deployments[at].value[0], kind="rollback", version="1.1.0", digest=digest_of("gateway 1.1.0"))

    def seen(*history: Any) -> str:
        desk.store.merge("deployments", {at: Fact(history, now, "dep")})
        return rollout_back.taken_back(desk.store.state, rollout, now)

    mine = replace(past, kind="deploy", key="a", digest=STEP.digest, started_at_us=now - 10**9)
    assert seen(mine, replace(past, started_at_us=now + 10**9)) == "", "older by the system's order, whatever its clock says"
    assert "rolled back" in seen(replace(past, started_at_us=now - 10**9), mine)
    assert seen(replace(past, started_at_us=now - 1)) == "", "the system does not tell of the deployment yet"
    assert "rolled back" in seen(replace(past, started_at_us=now + 1))
    assert rollout_back.taken_back(desk.store.state, replace(rollout, going_back=True), now) == ""


# -- one rule for everybody who deploys --------------------------------------------------------------------------------------


def deploy(desk: WiredDesk, **how: Any) -> RolloutPlan:
    planned = desk.actions.plan("deploy", "gateway", ENVIRONMENT, "1.2.0", **how)
    assert isinstance(planned, RolloutPlan), planned
    return planned


def test_a_click_on_all_nodes_at_once_does_not_pass_the_strategy_by(desk: WiredDesk) -> None:
    with pytest.raises(NotAllowed, match="done in steps: canary") as caught:
        desk.actions.fire(deploy(desk), "hurry")
    assert "release-cockpit deploy gateway" in caught.value.hint
    assert desk.estate.posts == []
    desk.actions.rules = replace(desk.rules, strategies={ENVIRONMENT: Strategy("plain")})
    assert desk.actions.fire(deploy(desk), "git is down").digest == digest_of("gateway 1.2.0"), "a strategy without steps is all at once"


def test_what_is_carried_out_goes_by_the_steps_or_at_once(desk: WiredDesk) -> None:
    begun = carry_out(desk.actions, desk.rollouts, deploy(desk), "because")
    assert isinstance(begun, Rollout)
    assert desk.finish(begun.key).state is RolloutState.DONE
    assert [p.nodes for p in desk.estate.posts] == [("gateway-1",), ("gateway-2", "gateway-3")]
    desk.poll()
    back = desk.actions.plan("rollback", "gateway", ENVIRONMENT)
    assert isinstance(back, RolloutPlan)
    assert isinstance(carry_out(desk.actions, desk.rollouts, back, "p99"), Action), "going back waits for no steps"


def test_a_plan_that_changed_begins_nothing(desk: WiredDesk) -> None:
    planned = deploy(desk)
    nodes = desk.estate.api._nodes
    nodes["gateway-2"] = replace(nodes["gateway-2"], healthy=False)
    desk.poll()
    with pytest.raises(NotAllowed, match="plan changed"):
        carry_out(desk.actions, desk.rollouts, planned, "because")
    assert desk.store.state.rollouts == {}


def test_a_request_begins_the_steps_and_passes_nothing_that_needs_a_person(desk: WiredDesk) -> None:
    with pytest.raises(NotAllowed, match="Only a person may pass this"):
        carry_out(desk.actions, desk.rollouts, deploy(desk, automatic=True), "requested by Rae", automatic=True)
    new, old = (status.commit_of(desk.store.state, "gateway", v) for v in ("1.2.0", "1.1.0"))
    desk.store.merge("changes", {changes_key("gateway", new, old): Fact(Changes(new, old), desk.clock())})
    begun = carry_out(desk.actions, desk.rollouts, deploy(desk, automatic=True), "requested by Rae", automatic=True)
    assert isinstance(begun, Rollout)
    assert begun.automatic
    assert desk.store.state.rollouts[begun.key].automatic
    now = desk.clock()
    desk.actions.rules = replace(desk.rules, freezes={ENVIRONMENT: ("deribit-expiry",)}, may={"freeze": frozenset({"rae@x"})})
    passed = Statement("override", "", ENVIRONMENT, "", "", "", "rae@x", "Rae", "now", now, now + 10**10, id="o1")
    desk.store.apply(statements=(passed,))
    frozen = Freezes((Freeze("expiry", now - 10**9, now + 10**9),))
    desk.actions.calendars = SimpleNamespace(freezes_of=lambda *_: frozen)  # type: ignore[assignment]
    assert ask(desk, "freeze") == (LineState.BLOCKED, "freeze: expiry"), "an override is never open to automation"
    desk.run(begun.key)
    assert desk.estate.posts == []
    assert desk.rollout(begun.key).state is RolloutState.PAUSED
    desk.store.apply(statements=(passed,))
    desk.rollouts.go_on(begun.key, "I pass it")
    assert not desk.rollout(begun.key).automatic, "a person has it now"
    assert ask(desk, "freeze")[0] is LineState.OK
