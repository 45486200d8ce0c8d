"""How each kind of step is carried out: deploys as actions of their own, bakes, holds and gates."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import uuid4

from msgspec.structs import replace

from cockpit.domain.errors import CockpitError
from cockpit.domain.facts import place
from cockpit.domain.release import Node
from cockpit.domain.rollout import Action, ActionState, LineState, Refusal
from cockpit.domain.strategy import Rollout, RolloutState, Step, StepState, expected, inverse
from cockpit.services.notices import Severity
from cockpit.services.rollout_drive import MOVING, Board, Carrier, Patient, words_of
from cockpit.services.rollout_hands import RolloutPace
from cockpit.services.runtime import Outcome
from cockpit.storage.journal import Entry


class Deploying(Patient):
    """A deploy step is an action of its own, with a key that stands in the journal before the action begins.

    So a step whose key no action ever had was never sent, and one whose key has an action is never begun again.
    """

    def __init__(self, board: Board, pace: RolloutPace) -> None:
        super().__init__(board, pace)
        self._waiting: set[str] = set()  # for the journal
        self._asked_us: dict[str, int] = {}

    def begin(self, key: str, index: int) -> bool:
        """Look at what runs; where that is not the step's digest everywhere, put the key into the journal and begin the action."""
        board, rollout = self.board, self.board.get(key)
        forth = rollout.steps[index].step
        step = inverse(forth) if rollout.going_back else forth
        fact = board.store.state.fleets.get(place(step.service, step.environment))
        if fact is None or fact.stale(board.clock_us()):
            age = f"; last seen {fact.age_s(board.clock_us()):.0f} s ago" if fact else ""
            board.pause(key, f"what runs on the nodes of {step.service} in {step.environment} is not known now{age}")
            return False
        ended_us = rollout.steps[index].ended_at_us if rollout.going_back else 0
        if fact.at_us <= ended_us <= board.clock_us():
            # what was seen before it ended says nothing of what is to be undone; an end in the future: the clock was set back
            board.say(key, index, rollout.steps[index].state, "waits for a look at the nodes")
            return False
        nodes = {n.name: n for n in fact.value.nodes}
        if step.digest and all(_runs(nodes.get(n), step.digest) for n in step.nodes):
            return self.over(key, index, f"{step.version} runs there already: nothing was sent")
        if not step.digest:
            return self.failed(key, index, "nothing ran there before")
        if rollout.going_back and step.digest == step.from_digest:
            return self.failed(key, index, "the nodes did not run the same before: there is no one version to go back to")
        strange = _strange(rollout, step, nodes) if key not in board.insisted else ""
        if strange:
            board.pause(key, f"{strange}: somebody else changed it")
            return False
        if self._refused(key, index, step):
            return False
        board.insisted.discard(key)
        board.before[(key, index)] = rollout.steps[index].state
        child = uuid4().hex
        begun = board.with_step(key, index, StepState.RUNNING, "", action=child, started_at_us=board.clock_us())
        self._waiting.add(key)
        board.put(begun, index, done=partial(self._recorded, key, index, step))
        return False

    def _refused(self, key: str, index: int, step: Step) -> bool:
        """Whether a plan of it is refused now; what has just ended may look as if it were still under way, so a moment is waited."""
        board = self.board
        planned = board.hands.plan(_kind(board.get(key)), step.service, step.environment, step.version)
        bad = "; ".join(r.text for r in planned.reasons) if isinstance(planned, Refusal) else ""
        if self.sure(key, bad):
            board.pause(key, f"step {index + 1} was not carried out: {bad}")
        elif bad:
            board.say(key, index, board.get(key).steps[index].state, f"waits: {bad}")
        return bool(bad)

    def _recorded(self, key: str, index: int, step: Step, outcome: Outcome[Any]) -> None:
        self._waiting.discard(key)
        board, rollout = self.board, self.board.get(key)
        if outcome.error is not None:
            self.nothing_sent(key, index, f"it could not be recorded: {words_of(outcome.error)}")
        elif rollout.state not in MOVING or key in board.wanted:
            self.nothing_sent(key, index, "stopped before anything was sent")
        else:
            self._fire(key, index, step, rollout)

    def _fire(self, key: str, index: int, step: Step, rollout: Rollout) -> None:
        # what may only be insisted on needs a person's reason; a rollout that was begun without one stops there
        reason = f"going back: {rollout.message}" if rollout.going_back else rollout.reason
        try:
            self.board.hands.fire(step, _kind(rollout), reason, rollout.steps[index].action)
        except CockpitError as error:
            self.nothing_sent(key, index, words_of(error))
        except Exception as error:  # noqa: BLE001 - a defect may have come after the sending: the journal tells, by the key
            self.board.notices.error(error, key=f"rollout-defect:{key}", place="rollout")

    def watch(self, key: str, index: int) -> bool:
        """Wait for the action's end; where it is not known here, the journal tells what became of it."""
        if key in self._waiting:
            return False
        run = self.board.get(key).steps[index]
        action = self.board.store.state.actions.get(run.action)
        if action is None:
            now = self.board.clock_us()
            if now - self._asked_us.get(key, 0) >= self.pace.again_s * 1e6:
                self._asked_us[key] = now
                self.board.record.entries_of(run.action, partial(self._looked, key, index, run.action))
            return False
        if action.state.final:
            return self._ended(key, index, action.state, action.message)
        if action.let_go:
            return self._let_go(key, index, action)
        # not known yet is no failure: it is waited for, however long it takes
        state = StepState.UNKNOWN if action.state is ActionState.UNKNOWN else StepState.RUNNING
        self.board.say(key, index, state, _going_on(action))
        return False

    def _let_go(self, key: str, index: int, action: Action) -> bool:
        """A person waits for its outcome no more: what was told meanwhile holds, else a person says how it goes on."""
        board, step = self.board, self.board.get(key).steps[index].step
        words = f"its outcome is not known; {action.let_go}"
        told = board.wanted.get(key, "").partition(":")
        if told[0] == "stop":
            board.end(key, RolloutState.ABORTED, f"step {index + 1}: {words}", hint="Look at the nodes.")
        elif told[0] == "back":
            return self.failed(key, index, words)  # what it did is undone as far as the nodes show it
        else:
            fact = board.store.state.fleets.get(place(step.service, step.environment))
            wanted = inverse(step).digest if board.get(key).going_back else step.digest
            fresh = fact is not None and not fact.stale(board.clock_us()) and fact.at_us > action.intended_at_us
            nodes = {n.name: n for n in fact.value.nodes} if fact is not None and fresh else {}
            if all(_runs(nodes.get(n), wanted) for n in step.nodes):
                return self.over(key, index, f"{words}; the nodes run it")
            board.say(key, index, StepState.UNKNOWN, words)
            board.pause(key, f"step {index + 1}: {words}")
        return False

    def _looked(self, key: str, index: int, child: str, outcome: Outcome[tuple[Entry, ...]]) -> None:
        run = self.board.get(key).steps[index]
        if run.action != child or run.state.over or outcome.value is None or child in self.board.store.state.actions:
            return
        ended = next((e for e in reversed(outcome.value) if e.kind == "outcome"), None)
        if ended is not None:
            self._ended(key, index, ActionState(ended.detail["state"]), str(ended.detail.get("message", "")))
        elif not outcome.value:
            # its intent stands in the journal before anything is sent
            self.nothing_sent(key, index, "interrupted before anything was sent")
        else:
            self.board.say(key, index, StepState.UNKNOWN, "interrupted; the deployment system is being asked what became of it")

    def _ended(self, key: str, index: int, state: ActionState, message: str) -> bool:
        if state is ActionState.DONE:
            return self.over(key, index, message)
        refused_back = state is ActionState.REFUSED and self.board.get(key).going_back
        if state is ActionState.NOT_SENT or refused_back:
            return self.nothing_sent(key, index, message)
        return self.failed(key, index, message or str(state))


def _kind(rollout: Rollout) -> str:
    return "rollback" if rollout.going_back or rollout.kind == "rollback" else "deploy"


def _runs(node: Node | None, digest: str) -> bool:
    return node is not None and node.digest == digest and node.healthy is not False


def _strange(rollout: Rollout, step: Step, nodes: dict[str, Node]) -> str:
    """Nodes that are gone, or run what this rollout knows nothing of; "" where all is as planned."""
    gone = [n for n in step.nodes if n not in nodes]
    if gone:
        return f"{', '.join(gone)} is no longer there"
    if rollout.kind == "rollback" and not rollout.going_back:
        return ""  # going back makes a mixed fleet whole
    known = ("", step.digest, step.from_digest) if rollout.going_back else (step.digest, step.from_digest)
    odd = [
        f"{n} runs {nodes[n].version or nodes[n].digest[:12] or 'nothing that is known'}"
        for n in step.nodes
        if nodes[n].digest not in known
    ]
    return ", ".join(odd)


def _going_on(action: Action) -> str:
    deployment = action.deployment
    done = sum(s.state == "done" for s in deployment.steps) if deployment else 0
    total = len(deployment.steps) if deployment else 0
    return action.message or (f"{done} of {total} nodes" if total else str(action.state))


class Watching(Patient):
    """Steps that send nothing."""

    def watch(self, key: str, index: int) -> bool:
        """They have nothing under way."""
        return False


class Baking(Watching):
    """Waits, and looks whether the nodes stay as they should be."""

    def begin(self, key: str, index: int) -> bool:
        """Wait on."""
        board, rollout = self.board, self.board.get(key)
        run, now = rollout.steps[index], board.clock_us()
        service, environment = run.step.service, run.step.environment
        fact = board.store.state.fleets.get(place(service, environment))
        if fact is None or fact.stale(now):
            board.pause(key, f"what runs on the nodes of {service} in {environment} is not known now: nobody watches this bake")
            return False
        if run.state is StepState.WAITING:
            board.step(key, index, StepState.RUNNING, "")
            return False
        bad = odd_nodes(rollout, service, environment, fact.value.nodes)
        if self.sure(key, bad):
            return self.failed(key, index, f"while it baked, {bad}")
        left_s = run.step.seconds - (now - run.started_at_us) / 1e6
        if left_s <= 0 and not bad:
            return self.over(key, index, f"{run.step.seconds:g} s without a sign of trouble")
        board.say(key, index, StepState.RUNNING, bad)
        return False


def odd_nodes(rollout: Rollout, service: str, environment: str, nodes: tuple[Node, ...]) -> str:
    """The nodes that are not as this rollout expects them, in words; "" where all are."""
    return odd_against(expected(rollout, service, environment), nodes)


def odd_against(wanted: dict[str, str], nodes: tuple[Node, ...]) -> str:
    """The nodes that do not run the digest that is wanted of them, or are not healthy, in words; "" where all do."""
    words = []
    for node in nodes:
        if node.name in wanted and node.digest != wanted[node.name]:
            words.append(f"{node.name} runs {node.version or node.digest[:12] or 'nothing that is known'}")
        elif node.name in wanted and node.healthy is False:
            words.append(f"{node.name} is not healthy")
    gone = sorted(set(wanted) - {n.name for n in nodes})
    return ", ".join([*words, *(f"{name} is gone" for name in gone)])


class Holding(Carrier):
    """Waits for a person."""

    def begin(self, key: str, index: int) -> bool:
        """Say once that a person is waited for."""
        rollout = self.board.get(key)
        if rollout.steps[index].state is StepState.HELD:
            return False
        self.board.step(key, index, StepState.HELD, "waits for a person to go on")
        self.board.notices.tell(
            Severity.WARNING,
            f"{rollout.title}: held at step {index + 1}",
            "It waits for a person.",
            hint="Look at it, then go on or go back.",
            key=f"rollout:{key}",
            place="rollout",
        )
        return False

    def watch(self, key: str, index: int) -> bool:
        """It has nothing under way."""
        return False


FAILING = ("checks", "fleet", "verdict")  # what these say against it does not pass by waiting


class Gating(Watching):
    """Asks until nothing speaks against it. Unknown never passes."""

    def begin(self, key: str, index: int) -> bool:
        """Ask everything once more."""
        board, step = self.board, self.board.get(key).steps[index].step
        if board.get(key).steps[index].state is StepState.WAITING:
            board.step(key, index, StepState.RUNNING, "")
        answers = [(name, *self._ask(name, step)) for name in step.ask]
        open_ = [(name, state, words) for name, state, words in answers if state in (LineState.BLOCKED, LineState.UNKNOWN)]
        bad = "; ".join(words for name, state, words in open_ if state is LineState.BLOCKED and name in FAILING)
        if self.sure(key, bad):
            return self.failed(key, index, bad)
        if not open_:
            board.notices.over(f"rollout:{key}")
            return self.over(key, index, "; ".join(words for _, _, words in answers if words))
        unknown = any(state is LineState.UNKNOWN for _, state, _ in open_)
        words = "waits: " + "; ".join(f"{name}: {text or state}" for name, state, text in open_)
        if words != board.get(key).steps[index].message and not bad:
            hint = "It goes on by itself once nothing speaks against it. Unknown never passes."
            title = f"{board.get(key).title}: step {index + 1} waits"
            board.notices.tell(Severity.WARNING, title, words, hint=hint, key=f"rollout:{key}", place="rollout")
        board.say(key, index, StepState.UNKNOWN if unknown else StepState.RUNNING, words)
        return False

    def _ask(self, name: str, step: Step) -> tuple[LineState, str]:
        try:
            return self.board.hands.ask(name, step)
        except CockpitError as error:
            return LineState.UNKNOWN, error.message


def resumed(rollout: Rollout, reason: str) -> Rollout:
    """A paused rollout as a person sends it on: a hold is passed, what failed is tried again."""
    runs = []
    for run in rollout.steps:
        if run.state is StepState.HELD:
            run = replace(run.to(StepState.DONE), message="a person said go on")
        elif run.state is StepState.FAILED and not rollout.going_back:
            run = replace(run.to(StepState.WAITING), started_at_us=0, ended_at_us=0, action="")
        elif run.state is StepState.FAILED:
            run = replace(run, message="tried again")
        runs.append(run)
    state = RolloutState.GOING_BACK if rollout.going_back else RolloutState.RUNNING
    words = "; ".join(filter(None, (rollout.reason, reason)))
    return replace(rollout.to(state), steps=tuple(runs), message=f"goes on: {reason}" if reason else "", reason=words, automatic=False)


def interrupted(rollout: Rollout) -> Rollout:
    """A rollout whose process is gone: it never goes on by itself."""
    runs = tuple(
        replace(run.to(StepState.WAITING), started_at_us=0, message="")
        if run.step.do in ("bake", "gate") and run.state in (StepState.RUNNING, StepState.UNKNOWN)
        else run
        for run in rollout.steps
    )
    words = "the program that drove it ended; what was under way then is looked up, nothing is sent again"
    paused = rollout.to(RolloutState.PAUSED) if rollout.state in MOVING else rollout
    return replace(paused, steps=runs, message=words if paused is not rollout else rollout.message)
