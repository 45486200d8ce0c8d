"""Rollouts under random orders of what people, systems, clocks and crashes do: never a second POST for one intent, never a wrong word."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from cockpit.domain.errors import NotAllowed, OutcomeUnknown, Rejected, Unreachable
from cockpit.domain.release import DeployState
from cockpit.domain.strategy import ROLLOUT_TRANSITIONS, RolloutState, StepState
from tests.conftest import FakeClock
from tests.fakes.ports import digest_of
from tests.fakes.rolling import Desk, Estate, failing

counts: dict[str, int] = {}


class World(RuleBasedStateMachine):
    """One rollout after another in one estate; the process may be replaced at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.estate = Estate(self.folder, FakeClock())
        self.rule = "stop"
        self.desk = Desk(self.estate)
        self.key = ""
        self.last: dict[str, RolloutState] = {}

    def teardown(self) -> None:
        self.desk.close()
        shutil.rmtree(self.folder)

    @initialize(on_failure=st.sampled_from(["stop", "back"]), what=st.sampled_from(["set", "canary"]))
    def policy(self, on_failure: str, what: str) -> None:
        self.rule = on_failure
        self.desk.close()
        self.desk = Desk(self.estate, on_failure=on_failure)
        self.begin(what)

    def tally(self, name: str) -> None:
        counts[name] = counts.get(name, 0) + 1

    @property
    def idle(self) -> bool:
        return all(r.state.final for r in self.desk.store.state.rollouts.values())

    @precondition(lambda self: self.idle)
    @rule(what=st.sampled_from(["set", "canary"]))
    def next(self, what: str) -> None:
        self.begin(what)

    def begin(self, what: str) -> None:
        live = {v for s in ("gateway", "risk", "market") for v in self.estate.runs(s).values()}
        if what == "canary" and len(set(self.estate.runs("gateway").values())) > 1:
            return  # a mixed fleet has no one way back: the plan is refused
        self.tally("begun")
        try:
            self.key = self.desk.begin_set() if what == "set" else self.desk.begin()
        except NotAllowed:
            assert live  # what the nodes run is too old a fact
            return
        self.desk.main.settle()

    @precondition(lambda self: self.key in self.desk.store.state.rollouts)
    @rule(word=st.sampled_from(["go_on", "back", "stop"]), reason=st.sampled_from(["", "because"]))
    def say(self, word: str, reason: str) -> None:
        before = set(self.desk.store.state.rollouts)
        try:
            getattr(self.desk.rollouts, word)(self.key, reason)
        except NotAllowed:
            self.tally(f"{word} refused")
            return
        self.tally(word)
        self.desk.main.settle()
        new = set(self.desk.store.state.rollouts) - before
        self.key = next(iter(new), self.key)

    @rule(seconds=st.sampled_from([0.3, 1.0, 4.0, 12.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.desk.main.run_for(seconds)

    @precondition(lambda self: self.key in self.desk.store.state.rollouts)
    @rule()
    def go(self) -> None:
        """As far as it gets, with systems that answer and a person who goes on."""
        for system in (self.estate.api, self.estate.venue, self.estate.traffic):
            for name in ("deploy", "set_mode", "set_weights"):
                system.hooks.pop(name, None)
        self.desk.seen = True
        self.desk.main.run_for(20)
        if not self.desk.rollout(self.key).state.final:
            self.say("go_on", "because")
            self.desk.main.run_for(20)
        self.tally(f"then {self.desk.rollout(self.key).state}")

    @rule(seconds=st.sampled_from([-30.0, 20.0, 7200.0]))
    def jump(self, seconds: float) -> None:
        self.tally("clock jumped")
        self.desk.moved_s = seconds
        self.desk.main.run_for(1.0)

    @rule()
    def restart(self) -> None:
        self.tally("restarted")
        self.desk.close()
        self.desk = Desk(self.estate, on_failure=self.rule)
        self.desk.recover()
        under_way = [k for k, r in self.desk.store.state.rollouts.items() if not r.state.final]
        assert all(self.desk.rollout(k).state is RolloutState.PAUSED for k in under_way)
        assert len(under_way) <= 1
        self.key = under_way[0] if under_way else ""
        self.last = {}

    @rule(
        error=st.sampled_from([None, OutcomeUnknown("lost"), Unreachable("refused"), Rejected("no", status=422)]),
        name=st.sampled_from(["deploy"]),
    )
    def system(self, error: Any, name: str) -> None:
        self.tally("system answers" if error is None else f"system: {error.title}")
        if error is None:
            self.estate.api.hooks.pop(name, None)
        else:
            self.estate.api.hooks[name] = failing(error)

    @rule(
        error=st.sampled_from([None, OutcomeUnknown("lost"), Unreachable("refused"), Rejected("no")]),
        name=st.sampled_from(["set_mode", "set_weights"]),
    )
    def ports(self, error: Any, name: str) -> None:
        system = self.estate.venue if name == "set_mode" else self.estate.traffic
        if error is None:
            system.hooks.pop(name, None)
        else:
            system.hooks[name] = failing(error)

    @rule()
    def deployment_fails(self) -> None:
        for key, found in self.estate.api._deployments.items():
            if not found.state.final:
                self.tally("a deployment failed")
                self.estate.api._deployments[key] = replace(found, state=DeployState.FAILED, message="broken")

    @rule(seen=st.booleans())
    def source(self, seen: bool) -> None:
        self.desk.seen = seen

    @invariant()
    def no_key_was_posted_twice(self) -> None:
        keys = [call[2] for call in self.estate.api.calls if call[0] == "deploy"]
        assert len(keys) == len(set(keys))

    @invariant()
    def one_deployment_for_each_key(self) -> None:
        keys = [d.key for d in self.estate.api._deployments.values() if d.key]
        assert len(keys) == len(set(keys))

    @invariant()
    def no_defect(self) -> None:
        assert not [n for n in self.desk.notices.history if "defect" in n.title.lower()]

    @invariant()
    def done_is_true(self) -> None:
        """A rollout that says done or back is so on every node, as long as nothing else was begun since."""
        rollout = self.desk.store.state.rollouts.get(self.key)
        if rollout is None or rollout.state not in (RolloutState.DONE, RolloutState.BACK):
            return
        for run in rollout.steps:
            if run.step.do != "deploy" or run.state not in (StepState.DONE, StepState.UNDONE):
                continue
            wanted = run.step.digest if run.state is StepState.DONE else run.step.from_digest
            nodes = {n.name: n.digest for n in self.estate.api.fleet(run.step.service, run.step.environment).nodes}
            assert all(nodes[n] == wanted for n in run.step.nodes), rollout

    @invariant()
    def only_legal_ways(self) -> None:
        for key, rollout in self.desk.store.state.rollouts.items():
            before = self.last.get(key)
            assert before is None or before is rollout.state or not before.final, f"{before} became {rollout.state}"
            self.last[key] = rollout.state
        assert set(ROLLOUT_TRANSITIONS) == set(RolloutState)
        assert digest_of("x")


TestRandomRollouts = World.TestCase
TestRandomRollouts.settings = settings(
    # more of both for a long search: RANDOM_EXAMPLES=150 RANDOM_STEPS=40
    max_examples=int(os.environ.get("RANDOM_EXAMPLES", "20")),
    stateful_step_count=int(os.environ.get("RANDOM_STEPS", "25")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_what_was_tried(capsys: pytest.CaptureFixture[str]) -> None:
    if not counts:
        pytest.skip("the cases ran elsewhere")
    with capsys.disabled():
        print(f"\nrandom rollouts: {', '.join(f'{n} {name}' for name, n in sorted(counts.items()))}")
