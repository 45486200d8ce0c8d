"""A deployment as a plan of steps: which nodes when, what is waited for between, and how each step is undone."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct


class StepSpec(Struct, frozen=True, gc=False):
    """A step as the policy declares it.

    do: deploy (nodes: a count, "rest", "all", or name patterns), bake (seconds), hold (waits for a person), gate (ask: checks, approvals,
    freeze, fleet, verdict), weight (percent of the traffic to `nodes`), mode (a venue mode: cancel-only, post-only, open).
    """

    do: str
    nodes: tuple[str, ...] = ()
    seconds: float = 0.0
    ask: tuple[str, ...] = ()
    percent: int = 100
    mode: str = ""


class Strategy(Struct, frozen=True, gc=False):
    """A named plan of steps; empty steps: all nodes, as the deployment system does it by itself."""

    name: str
    steps: tuple[StepSpec, ...] = ()


class ServiceSet(Struct, frozen=True, gc=False):
    """Services that go back together. `on_failure`: stop, or back."""

    name: str
    services: tuple[str, ...]
    on_failure: str = "stop"


class Step(Struct, frozen=True, gc=False):
    """A step of one rollout, with its nodes by name. `undo` says in words what going back does with it; "" = nothing to undo.

    `from_mode` and `from_weights` (percent by node) are what held when the step ran; a mode of "" and no weights: it did not run yet.
    """

    do: str
    service: str
    environment: str
    version: str = ""
    digest: str = ""
    from_version: str = ""
    from_digest: str = ""
    nodes: tuple[str, ...] = ()
    seconds: float = 0.0
    ask: tuple[str, ...] = ()
    percent: int = 100
    mode: str = ""
    from_mode: str = ""
    undo: str = ""
    from_weights: tuple[tuple[str, int], ...] = ()


class StepState(StrEnum):
    """Where a step is. UNKNOWN is no failure: its action's outcome is not known yet."""

    WAITING = "waiting"
    RUNNING = "running"
    HELD = "held"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    UNDONE = "undone"
    SKIPPED = "skipped"

    @property
    def over(self) -> bool:
        """Whether the way forward is past it."""
        return self in (StepState.DONE, StepState.SKIPPED, StepState.UNDONE)


STEP_TRANSITIONS: dict[StepState, frozenset[StepState]] = {
    StepState.WAITING: frozenset({StepState.RUNNING, StepState.HELD, StepState.DONE, StepState.FAILED, StepState.SKIPPED}),
    # back to waiting, or to done while it was being undone: it turned out that nothing was sent
    StepState.RUNNING: frozenset(
        {
            *(StepState.DONE, StepState.FAILED, StepState.UNKNOWN),
            *(StepState.UNDONE, StepState.WAITING, StepState.SKIPPED),
        }
    ),
    StepState.UNKNOWN: frozenset(
        {
            *(StepState.RUNNING, StepState.DONE, StepState.FAILED),
            *(StepState.UNDONE, StepState.WAITING, StepState.SKIPPED),
        }
    ),
    StepState.HELD: frozenset({StepState.DONE, StepState.WAITING, StepState.SKIPPED}),
    StepState.DONE: frozenset({StepState.RUNNING, StepState.UNDONE, StepState.FAILED}),
    # tried again, or undone: it may have changed some of its nodes
    StepState.FAILED: frozenset({StepState.WAITING, StepState.RUNNING, StepState.UNDONE, StepState.SKIPPED, StepState.DONE}),
    StepState.UNDONE: frozenset(),
    StepState.SKIPPED: frozenset(),
}


class StepRun(Struct, frozen=True, gc=False):
    """A step and what became of it. `action` is the key of the action that carries it out."""

    step: Step
    state: StepState = StepState.WAITING
    started_at_us: int = 0
    ended_at_us: int = 0
    action: str = ""
    message: str = ""

    def to(self, state: StepState) -> StepRun:
        """The same step in its next state; ValueError where that is not legal."""
        from msgspec.structs import replace

        if state is not self.state and state not in STEP_TRANSITIONS[self.state]:
            raise ValueError(f"a step that is {self.state} cannot become {state}")
        return replace(self, state=state)


class RolloutState(StrEnum):
    """The life of a rollout of several steps. PAUSED (by a restart, a clock jump, a lost connection) goes on only when a person says so."""

    RUNNING = "running"
    PAUSED = "paused"
    GOING_BACK = "going back"
    DONE = "done"
    FAILED = "failed"
    BACK = "back"
    ABORTED = "aborted"

    @property
    def final(self) -> bool:
        return not ROLLOUT_TRANSITIONS[self]


ROLLOUT_TRANSITIONS: dict[RolloutState, frozenset[RolloutState]] = {
    RolloutState.RUNNING: frozenset(
        {RolloutState.PAUSED, RolloutState.GOING_BACK, RolloutState.DONE, RolloutState.FAILED, RolloutState.ABORTED}
    ),
    RolloutState.PAUSED: frozenset({RolloutState.RUNNING, RolloutState.GOING_BACK, RolloutState.FAILED, RolloutState.ABORTED}),
    RolloutState.GOING_BACK: frozenset({RolloutState.PAUSED, RolloutState.BACK, RolloutState.FAILED, RolloutState.ABORTED}),
    RolloutState.DONE: frozenset(),
    RolloutState.FAILED: frozenset(),
    RolloutState.BACK: frozenset(),
    RolloutState.ABORTED: frozenset(),
}


class Rollout(Struct, frozen=True, gc=False):
    """Several steps carried out in order: a strategy's deployment, or several services rolled back together.

    `on_failure`: stop, or back (undo in reverse order). `rehearsal`: every question is asked, nothing is sent. `going_back`: the way that
    it goes on after a pause. `automatic`: no person stands behind it, so it insists on nothing; until a person sends it on.
    """

    key: str
    kind: str
    title: str
    steps: tuple[StepRun, ...]
    who: str
    reason: str = ""
    on_failure: str = "stop"
    rehearsal: bool = False
    state: RolloutState = RolloutState.RUNNING
    started_at_us: int = 0
    ended_at_us: int = 0
    message: str = ""
    going_back: bool = False
    automatic: bool = False

    @property
    def current(self) -> int:
        """The index of the first step that has not ended; the number of steps where all have."""
        return next((i for i, run in enumerate(self.steps) if not run.state.over), len(self.steps))

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """Each (service, environment) that it touches, once."""
        return tuple(dict.fromkeys((run.step.service, run.step.environment) for run in self.steps))

    def to(self, state: RolloutState) -> Rollout:
        """The same rollout in its next state; ValueError where that is not legal."""
        from msgspec.structs import replace

        if state is not self.state and state not in ROLLOUT_TRANSITIONS[self.state]:
            raise ValueError(f"a rollout that is {self.state} cannot become {state}")
        return replace(self, state=state)


def inverse(step: Step) -> Step:
    """The deploy step that undoes this one on the same nodes."""
    from msgspec.structs import replace

    return replace(step, version=step.from_version, digest=step.from_digest, from_version=step.version, from_digest=step.digest, undo="")


def expected(rollout: Rollout, service: str, environment: str) -> dict[str, str]:
    """The digest that each node should run now, as far as this rollout says; nodes whose step is under way may run either: left out."""
    answer: dict[str, str] = {}
    for run in rollout.steps:
        step = run.step
        if rollout.rehearsal or step.do != "deploy" or (step.service, step.environment) != (service, environment):
            continue
        waits = run.state in (StepState.WAITING, StepState.HELD)
        # a rollback of several services begins on whatever runs, a mixed fleet too
        if run.state in (StepState.RUNNING, StepState.UNKNOWN, StepState.FAILED) or (waits and rollout.kind == "rollback"):
            continue
        answer |= dict.fromkeys(step.nodes, step.digest if run.state is StepState.DONE else step.from_digest)
    return answer


def expected_now(rollouts: Iterable[Rollout], service: str, environment: str) -> dict[str, str]:
    """`expected` of the rollouts that have not ended; {} where none is under way there: then all nodes should agree."""
    answer: dict[str, str] = {}
    for rollout in rollouts:
        if not rollout.state.final:
            answer |= expected(rollout, service, environment)
    return answer
