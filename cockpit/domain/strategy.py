"""A deployment as a plan of steps: which nodes when, what is waited for between, and how each step is undone."""

from __future__ import annotations

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
    """A step of one rollout, with its nodes by name. `undo` says in words what going back does with it; "" = nothing to undo."""

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


class StepRun(Struct, frozen=True, gc=False):
    """A step and what became of it. `action` is the key of the action that carries it out."""

    step: Step
    state: StepState = StepState.WAITING
    started_at_us: int = 0
    ended_at_us: int = 0
    action: str = ""
    message: str = ""


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
        return self in (RolloutState.DONE, RolloutState.FAILED, RolloutState.BACK, RolloutState.ABORTED)


class Rollout(Struct, frozen=True, gc=False):
    """Several steps carried out in order: a strategy's deployment, or several services rolled back together.

    `on_failure`: stop, or back (undo in reverse order). `rehearsal`: every question is asked, nothing is sent.
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

    @property
    def current(self) -> int:
        """The index of the first step that has not ended; the number of steps where all have."""
        over = (StepState.DONE, StepState.SKIPPED, StepState.UNDONE)
        return next((i for i, run in enumerate(self.steps) if run.state not in over), len(self.steps))
