"""Random interleavings of clicks, lost answers, lies, restarts and crashes: an action's state is what happened, whatever the order.

One thing no order can tell apart is left out: a system that loses an answer and then its memory of what it did.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from cockpit.connectors.ports import DeployRequest
from cockpit.domain.errors import AuthFailed, BadPayload, NotFound, OutcomeUnknown, RateLimited, Rejected, Unreachable
from cockpit.domain.release import Deployment, DeployState, Fleet, Node
from cockpit.domain.rollout import TRANSITIONS, Action, ActionState
from cockpit.services.connections import Connected, Connections
from cockpit.services.execution import Execution, Pace
from cockpit.services.notices import Notices
from cockpit.services.store import Store
from cockpit.storage.database import open_database
from cockpit.storage.journal import Journal
from tests.fakes.running import FakeMain, InlineRunner

PLACE = ("gw", "prod")
DIGESTS = ("a" * 64, "b" * 64, "c" * 64)
ON_ITS_WAY_S = 10.0  # a request that nobody waits for any more arrives within this time or never; shorter than Pace.settle_s
ANSWERS = ("fine", "answer lost", "request lost", "request late", "refused", "passed on and refused", "unreachable", "defect")
DEATHS = ("dies before the request arrives", "dies after the request arrived")
READS = ("fine", "unreachable", "nobody gets in", "nonsense", "too many", "keys not found", "silent nodes")
UNDER_WAY = (DeployState.QUEUED, DeployState.RUNNING)


class Crash(BaseException):
    """The process is gone."""


class Clock:
    """Microseconds that move when told."""

    def __init__(self) -> None:
        self.now_us = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.now_us


class System:
    """A deployment system with idempotency keys and one deployment at a time; `answers` and `reads` say how it behaves next."""

    def __init__(self) -> None:
        self.answers, self.reads = "fine", "fine"
        self.sent: list[str] = []  # POSTs that left the client
        self.known: dict[str, Deployment] = {}
        self.ever: dict[str, DeployState] = {}  # what really became of each key, whether or not the system remembers
        self.late: list[tuple[DeployRequest, str]] = []
        self.nodes = [DIGESTS[0], DIGESTS[0]]

    # what the client asks

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        self.sent.append(key)
        mood = self.answers
        if mood == "unreachable":
            raise Unreachable("refused")
        if mood == DEATHS[0]:
            raise Crash
        if mood == "refused":
            raise Rejected("no", status=422)
        if mood == "request late":
            self.late.append((request, key))
        if mood in ("request lost", "request late"):
            raise OutcomeUnknown("timed out")
        begun = self.accept(request, key)
        if mood == DEATHS[1]:
            raise Crash
        if mood == "answer lost":
            raise OutcomeUnknown("half a body")
        if mood == "passed on and refused":
            raise Rejected("the gate says no", status=409)
        if mood == "defect":
            raise RuntimeError("a defect in the connector")
        return begun

    def find(self, key: str) -> Deployment | None:
        self._read()
        return None if self.reads == "keys not found" else self.known.get(key)

    def deployment(self, deployment_id: str) -> Deployment:
        self._read()
        found = next((d for d in self.known.values() if d.id == deployment_id), None)
        if found is None or self.reads == "keys not found":
            raise NotFound("no such deployment")
        return found

    def history(self, service: str, environment: str, limit: int = 50) -> tuple[Deployment, ...]:
        self._read()
        return tuple(self.known.values())

    def fleet(self, service: str, environment: str) -> Fleet:
        self._read()
        seen = ["", ""] if self.reads == "silent nodes" else self.nodes
        nodes = tuple(Node(f"n{i}", *PLACE, "", "", digest, True) for i, digest in enumerate(seen))
        return Fleet(*PLACE, nodes, next((d for d in self.known.values() if d.state in UNDER_WAY), None))

    def _read(self) -> None:
        errors = {
            "unreachable": Unreachable("down"),
            "nobody gets in": AuthFailed("401"),
            "nonsense": BadPayload("what?"),
            "too many": RateLimited("slow down", retry_after_s=1.0),
        }
        if self.reads in errors:
            raise errors[self.reads]

    # what it does

    def accept(self, request: DeployRequest, key: str) -> Deployment:
        if key in self.known:
            return self.known[key]
        if any(d.state in UNDER_WAY for d in self.known.values()):
            raise Rejected("another one is under way", status=409)
        wanted = (request.service, request.environment, request.version, request.digest, request.kind)
        self.known[key] = Deployment(f"d{len(self.ever)}", key, *wanted, DeployState.RUNNING)
        self.ever[key] = DeployState.RUNNING
        return self.known[key]

    def work(self, ends: DeployState) -> None:
        """A node's turn, or the end."""
        for key, running in self.known.items():
            if running.state not in UNDER_WAY:
                continue
            if ends is DeployState.SUCCEEDED and self.nodes[0] != running.digest:
                self.nodes[0] = running.digest
                return
            if ends is DeployState.SUCCEEDED:
                self.nodes[1] = running.digest
            self.ever[key] = ends
            self.known[key] = replace(running, state=ends, message="")
            return


class Machine(RuleBasedStateMachine):
    """One cockpit that dies and comes back, over one system."""

    @initialize()
    def set_up(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.clock, self.system = Clock(), System()
        self.database = open_database(Path(self.folder.name) / "cockpit.sqlite")
        # a process of this machine that is gone
        self.journal = Journal(self.database, f"{platform.node()}:999999999:1", self.clock)
        self.dies_at: tuple[str, str] | None = None
        self.count = 0
        self.late_s = 0.0  # how long the latest one that may be late is on its way
        self.ended: dict[str, Action] = {}
        self.begun_again()

    def begun_again(self) -> None:
        """A new process on the same data directory."""
        self.main, self.store = FakeMain(self.clock), Store()
        self.states: dict[str, ActionState] = {}
        connections = Connections()
        connections.replace((Connected("dep", "dep", "x", ("DeploymentApi",), (PLACE[0],), self.system),))
        parts = (self.store, InlineRunner(self.main), self.main, self, connections, Notices(self.clock), self.clock, Pace())
        self.execution = Execution(*parts)  # type: ignore[arg-type]
        self.execution.ended.append(self.hear)
        self.store.subscribe(lambda _: self.look())

    def append(self, kind: str, *arguments: Any) -> Any:
        """The journal, at which a process may die."""
        if self.dies_at == (kind, "before"):
            raise Crash
        entry = self.journal.append(kind, *arguments)
        if self.dies_at == (kind, "after"):
            raise Crash
        return entry

    def look(self) -> None:
        for key, action in self.store.state.actions.items():
            before = self.states.get(key)
            assert before is None or action.state is before or action.state in TRANSITIONS[before], f"{before} became {action.state}"
            self.states[key] = action.state

    def hear(self, action: Action) -> None:
        """The moment in which something is called by its name: it must be so at that moment."""
        self.ended[action.key] = action
        truth = self.system.ever.get(action.key)
        whole = set(self.system.nodes) == {action.digest}
        if action.state is ActionState.DONE:
            assert truth is DeployState.SUCCEEDED or (truth is not None and action.key not in self.system.known)
            assert whole or "later action" in action.message
        elif action.state is ActionState.FAILED:
            assert truth is not None
            assert truth is DeployState.FAILED or not whole
        elif action.state is ActionState.ABORTED:
            assert truth is DeployState.ABORTED
        else:
            assert truth is None, f"{action.state}, and the system had it: {truth}"

    def drive(self, step: Callable[[], Any]) -> None:
        """Do it; a process that dies on the way is begun again and takes up what it left."""
        try:
            step()
            self.main.settle()
        except Crash:
            self.restart()

    def restart(self) -> None:
        self.dies_at, self.system.answers = None, "fine"
        self.execution.close()
        self.begun_again()
        entries = self.journal.unfinished()
        self.execution.recover(entries, {e.key: self.journal.progress_of(e.key) for e in entries})
        self.main.settle()

    def busy(self) -> bool:
        open_states = [a.state for a in self.store.state.actions.values() if not a.state.final and a.state is not ActionState.VERIFYING]
        return bool(open_states)

    # -- what may happen -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.busy())
    @rule(answers=st.sampled_from(ANSWERS + DEATHS), digest=st.sampled_from(DIGESTS), kind=st.sampled_from(("deploy", "rollback")))
    def fire(self, answers: str, digest: str, kind: str) -> None:
        self.count += 1
        self.late_s = 0.0
        key, self.system.answers = f"k{self.count}", answers
        action = Action(key, kind, *PLACE, "", "", "1", digest, "Ada <ada@x>", ActionState.INTENDED, self.clock())
        self.drive(lambda: self.execution.begin(action, DeployRequest(*PLACE, "1", digest, kind, "Ada <ada@x>")))
        self.system.answers = "fine"

    @rule(reads=st.sampled_from(READS))
    def answer_so(self, reads: str) -> None:
        self.system.reads = reads

    @rule(ends=st.sampled_from((DeployState.SUCCEEDED, DeployState.SUCCEEDED, DeployState.FAILED, DeployState.ABORTED)))
    def work(self, ends: DeployState) -> None:
        self.system.work(ends)

    @rule(seconds=st.floats(0.1, 20.0))
    def wait(self, seconds: float) -> None:
        self.late_s += seconds
        if self.late_s > ON_ITS_WAY_S:
            self.arrive()
        self.drive(lambda: self.main.run_for(seconds))

    @rule()
    def arrive(self) -> None:
        """What was late comes in, or is refused because something else is under way."""
        for request, key in self.system.late:
            try:
                self.system.accept(request, key)
            except Rejected:
                continue
        self.system.late.clear()
        self.late_s = 0.0

    @rule(seconds=st.sampled_from((-7200, 7200, 86400)))
    def clock_is_set(self, seconds: int) -> None:
        self.clock.now_us = max(1_700_000_000_000_000, self.clock.now_us + seconds * 1_000_000)

    @rule(kind=st.sampled_from(("intent", "progress", "outcome")), when=st.sampled_from(("before", "after")))
    def will_die(self, kind: str, when: str) -> None:
        self.dies_at = (kind, when)

    @rule()
    def dies(self) -> None:
        self.restart()

    @rule()
    def forgets(self) -> None:
        """The system is set up anew; what it never told the client of, it keeps."""
        told = [a.key for a in self.store.state.actions.values() if a.accepted_at_us]
        self.system.known = {key: d for key, d in self.system.known.items() if key not in told or d.state in UNDER_WAY}

    # -- what must hold ------------------------------------------------------------------------------------------------------

    @invariant()
    def one_post_for_an_intent(self) -> None:
        sent = getattr(self, "system", System()).sent
        assert len(sent) == len(set(sent))

    @invariant()
    def what_is_not_known_is_not_called_by_a_name(self) -> None:
        if not hasattr(self, "store"):
            return
        for action in self.store.state.actions.values():
            if action.key in [key for _, key in self.system.late]:
                assert action.state is ActionState.UNKNOWN

    def teardown(self) -> None:
        """Everything answers again: every intent comes to its end, and the record is whole."""
        if not hasattr(self, "store"):
            return
        try:
            self.system.reads, self.dies_at = "fine", None
            self.arrive()
            self.restart()
            for _ in range(40):
                self.system.work(DeployState.SUCCEEDED)
                self.main.run_for(5)
            assert self.journal.unfinished() == ()
            entries = self.journal.entries(10_000)
            intents = [e.key for e in entries if e.kind == "intent"]
            outcomes = [e.key for e in entries if e.kind == "outcome"]
            assert sorted(intents) == sorted(outcomes), "one outcome for each intent"
            assert set(self.system.sent) <= set(intents), "nothing is sent without a record"
            assert self.journal.verify().ok
        finally:
            self.database.close()
            self.folder.cleanup()


Machine.TestCase.settings = settings(
    max_examples=80, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
TestInterleavings = Machine.TestCase
