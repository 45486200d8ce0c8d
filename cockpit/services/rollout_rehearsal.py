"""A rehearsal: every question of every step is asked in its order, nothing is sent, and what that tells about the time is kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.errors import CockpitError
from cockpit.domain.facts import place
from cockpit.domain.release import Fleet
from cockpit.domain.rollout import LineState, Refusal, RolloutPlan
from cockpit.domain.strategy import Rollout, RolloutState, Step, StepState
from cockpit.services.notices import Severity
from cockpit.services.rollout_drive import Board, with_run, words_of
from cockpit.services.rollout_hands import Hands
from cockpit.services.rollout_ports import Held, read_port
from cockpit.services.runtime import Outcome, Runner
from cockpit.storage.journal import Entry


class Measured(Struct, frozen=True):
    """How long a rollout takes by its rehearsal, in seconds (None: nothing was deployed there before), and when that was found."""

    seconds: float | None
    at_us: int


class Rehearsals:
    """Runs rehearsals and remembers what they measured. Main thread; systems are asked in the runner."""

    def __init__(self, board: Board, runner: Runner) -> None:
        self._board = board
        self._runner = runner
        self._past: dict[tuple[str, str], Measured] = {}
        self._parts: dict[str, list[float | None]] = {}  # by rehearsal: seconds of each step
        self._later: dict[str, list[str]] = {}  # by rehearsal: what only the rollout itself can answer
        self._asked: dict[str, float] = {}
        self._read = False

    def measured(self, title: str, environment: str) -> Measured | None:
        """The newest rehearsal of that title there."""
        return self._past.get((title, environment))

    def load(self) -> None:
        """Read what earlier rehearsals measured, in the background; once."""
        if self._read:
            return
        self._read = True
        self._board.record.rehearsals(self._loaded)

    def _loaded(self, outcome: Outcome[tuple[Entry, ...]]) -> None:
        for entry in outcome.value or ():
            known = self._past.get((str(entry.detail.get("title", "")), entry.environment))
            seconds = entry.detail.get("seconds")
            if known is None and entry.detail.get("state") == str(RolloutState.DONE):
                found = Measured(float(seconds) if isinstance(seconds, int | float) else None, entry.at_us)
                self._past[(str(entry.detail["title"]), entry.environment)] = found

    def begin(self, rollout: Rollout) -> None:
        """Ask the first step's questions; the others follow."""
        self._parts[rollout.key] = []
        self._later[rollout.key] = []
        self._asked[rollout.key] = 0.0
        self._board.show(rollout)
        self._next(rollout.key)

    def _next(self, key: str) -> None:
        rollout = self._board.get(key)
        index = len(self._parts[key])
        if index == len(rollout.steps):
            self._end(key)
            return
        step, since_us = rollout.steps[index].step, self._board.clock_us()
        self._show(key, index, StepState.RUNNING, "")
        tell = partial(self._answered, key, index, since_us)
        if step.do == "deploy":
            self._deploy(rollout, step, tell)
        elif step.do in ("weight", "mode"):
            work = partial(read_port, self._board.hands, step)
            self._runner.submit(f"deploy:{step.environment}:{key}", work, partial(_port_answered, tell))
        elif step.do == "gate":
            state, words, later = self._gate(step)
            self._later[key] += [f"step {index + 1}: {words}"] if later else []
            tell(state, words, 0.0)
        else:
            words = "a person would be waited for here" if step.do == "hold" else f"{step.seconds:g} s"
            tell(StepState.DONE, words, step.seconds)

    def _deploy(self, rollout: Rollout, step: Step, tell: Callable[[StepState, str, float | None], None]) -> None:
        planned = plan_of(self._board.hands, "rollback" if rollout.kind == "rollback" else "deploy", step)
        if planned is None:
            tell(StepState.FAILED, "the plan changed meanwhile: make it again", None)
        elif isinstance(planned, Refusal):
            tell(StepState.FAILED, "; ".join(r.text for r in planned.reasons), None)
        else:
            work = partial(self._board.hands.look, step.service, step.environment)
            self._runner.submit(f"deploy:{step.environment}:{rollout.key}", work, partial(_looked, step, planned, tell))

    def _gate(self, step: Step) -> tuple[StepState, str, bool]:
        """(state, words, whether only what does not run yet is not known: of that there can be no verdict before)."""
        answers = []
        for name in step.ask:
            try:
                answers.append((name, *self._board.hands.ask(name, step)))
            except CockpitError as error:
                answers.append((name, LineState.UNKNOWN, error.message))
        words = "; ".join(f"{name}: {text or state}" for name, state, text in answers)
        if any(state is LineState.BLOCKED for _, state, _ in answers):
            return StepState.FAILED, words, False
        unknown = [name for name, state, _ in answers if state is LineState.UNKNOWN]
        return (StepState.UNKNOWN if unknown else StepState.DONE), words, bool(unknown) and set(unknown) == {"verdict"}

    def _answered(self, key: str, index: int, since_us: int, state: StepState, words: str, seconds: float | None) -> None:
        self._asked[key] += max(0, self._board.clock_us() - since_us) / 1e6
        self._parts[key].append(seconds)
        self._show(key, index, state, words)
        self._next(key)

    def _show(self, key: str, index: int, state: StepState, words: str) -> None:
        rollout, now = self._board.get(key), self._board.clock_us()
        run = rollout.steps[index]
        ended = 0 if state is StepState.RUNNING else now
        run = replace(run.to(state), message=words, started_at_us=run.started_at_us or now, ended_at_us=ended)
        self._board.show(with_run(rollout, index, run))

    def _end(self, key: str) -> None:
        board, rollout = self._board, self._board.get(key)
        later, parts, asked_s = self._later.pop(key), self._parts.pop(key), self._asked.pop(key)
        bad = [f"step {i}: {run.message}" for i, run in enumerate(rollout.steps, 1) if run.state is not StepState.DONE]
        bad = [words for words in bad if words not in later]
        known = [p for p in parts if p is not None]
        seconds = round(sum(known) + asked_s, 3) if len(known) == len(parts) else None
        takes = (
            f"it takes about {seconds:.0f} s"
            if seconds is not None
            else "how long it takes is not known: nothing was deployed there before"
        )
        answered = f"not known before it runs: {'; '.join(later)}" if later else "every question is answered"
        words = "; ".join(bad) if bad else f"{answered}; {takes}"
        state = RolloutState.FAILED if bad else RolloutState.DONE
        rollout = replace(rollout.to(state), message=words, ended_at_us=board.clock_us())
        board.show(rollout)
        if not bad:
            self._past[(rollout.title, rollout.places[0][1])] = Measured(seconds, rollout.ended_at_us)
        steps = [{"do": r.step.do, "service": r.step.service, "state": str(r.state), "message": r.message} for r in rollout.steps]
        detail: dict[str, Any] = {"title": rollout.title, "state": str(state), "message": words, "seconds": seconds}
        detail |= {"asked_s": round(asked_s, 3), "parts_s": parts, "steps": steps}
        board.record.note(rollout, rollout.who, detail, board.written)
        loud = Severity.WARNING if bad or later else Severity.OK
        board.notices.tell(loud, f"{rollout.title}: rehearsal {state}", words, hint="Nothing was sent.", place="rollout")


def plan_of(hands: Hands, kind: str, step: Step) -> RolloutPlan | Refusal | None:
    """The plan of exactly this step's artifact as it would be made now; None where nothing leads to that artifact any more."""
    # without a name first: where a tag is gone or was moved, the name leads elsewhere
    for version in ("", step.version):
        planned = hands.plan(kind, step.service, step.environment, version)
        if planned.target is not None and planned.target.digest == step.digest:
            return planned
    return planned if isinstance(planned, Refusal) and planned.target is None else None


def _port_answered(tell: Callable[[StepState, str, float | None], None], outcome: Outcome[Held]) -> None:
    if outcome.error is not None:
        tell(StepState.FAILED, words_of(outcome.error), None)
    else:
        tell(StepState.DONE, f"can be reached; now {outcome.value}", 0.0)


def _looked(step: Step, planned: RolloutPlan, tell: Callable[[StepState, str, float | None], None], outcome: Outcome[Fleet]) -> None:
    if outcome.error is not None or outcome.value is None:
        tell(StepState.FAILED, f"the nodes cannot be asked: {words_of(outcome.error)}", None)
        return
    nodes = {n.name: n for n in outcome.value.nodes}
    gone = [n for n in step.nodes if n not in nodes]
    silent = [n for n in step.nodes if n in nodes and (not nodes[n].digest or nodes[n].healthy is not True)]
    if gone or silent:
        parts = [f"{n} is not there" for n in gone] + [f"{n} does not answer as it should" for n in silent]
        tell(StepState.FAILED, ", ".join(parts), None)
        return
    share = len(step.nodes) / max(1, len(nodes))
    seconds = planned.expected_s * share if planned.expected_s is not None else None
    words = f"{place(step.service, step.environment)}: all {len(step.nodes)} nodes answer"
    if planned.insists:
        words += f"; a reason would be needed: {'; '.join(planned.insists)}"
    tell(StepState.DONE, words, seconds)
