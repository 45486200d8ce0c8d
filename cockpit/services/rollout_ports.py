"""Steps that speak to a port of their own: the traffic's shares and the venue's mode. Setting the same twice changes nothing there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace

from cockpit.domain.errors import BadPayload, ConnectorError, OutcomeUnknown, Unreachable
from cockpit.domain.facts import place
from cockpit.domain.strategy import Step, StepState
from cockpit.domain.strategy_plan import shares
from cockpit.services.rollout_drive import MOVING, Board, Carrier, with_run, words_of
from cockpit.services.rollout_hands import Hands, RolloutPace
from cockpit.services.runtime import Outcome, Runner

Held = str | dict[str, int]


class Porting(Carrier):
    """Remembers what holds, puts that into the journal, sets what is wanted; where no answer came, asks until it is known."""

    def __init__(self, board: Board, runner: Runner, pace: RolloutPace) -> None:
        super().__init__(board)
        self._runner = runner
        self._pace = pace
        self._busy: set[str] = set()
        self._asked_us: dict[str, int] = {}

    def begin(self, key: str, index: int) -> bool:
        """Ask what holds now; for going back that is known already."""
        rollout = self.board.get(key)
        step = rollout.steps[index].step
        if key in self._busy:
            return False
        remembered = partial(self._remembered, key, index, rollout.going_back)
        if step.from_mode or step.from_weights:
            remembered(Outcome(value=None))  # tried again, or going back: what held before the first try counts
        elif rollout.going_back:
            return self.over(key, index, "it had not been changed")
        else:
            self._work(key, step, partial(_read, self.board.hands, step), remembered)
        return False

    def _remembered(self, key: str, index: int, back: bool, outcome: Outcome[Held | None]) -> None:
        self._busy.discard(key)
        board, rollout = self.board, self.board.get(key)
        if rollout.state not in MOVING or key in board.wanted or rollout.going_back is not back:
            return
        if outcome.error is not None:
            board.pause(key, f"what holds before step {index + 1} cannot be read: {words_of(outcome.error)}")
            return
        run, held = rollout.steps[index], outcome.value
        if isinstance(held, str):
            run = replace(run, step=replace(run.step, from_mode=held))
        elif held is not None:
            run = replace(run, step=replace(run.step, from_weights=tuple(sorted(held.items()))))
        board.before[(key, index)] = run.state
        board.show(with_run(rollout, index, run))
        self._busy.add(key)
        begun = board.with_step(key, index, StepState.RUNNING, "", started_at_us=board.clock_us())
        board.put(begun, index, done=partial(self._recorded, key, index))

    def _recorded(self, key: str, index: int, outcome: Outcome[Any]) -> None:
        self._busy.discard(key)
        rollout = self.board.get(key)
        if outcome.error is not None:
            self.nothing_sent(key, index, f"it could not be recorded: {words_of(outcome.error)}")
        elif rollout.state not in MOVING or key in self.board.wanted:
            self.nothing_sent(key, index, "stopped before anything was sent")
        else:
            step = rollout.steps[index].step
            wanted = self._wanted(step, rollout.going_back)
            self._work(key, step, partial(_set, self.board.hands, step, wanted), partial(self._told, key, index, wanted))

    def _told(self, key: str, index: int, wanted: Held, outcome: Outcome[Held]) -> None:
        self._busy.discard(key)
        error = outcome.error
        if error is None:
            if _holds(wanted, outcome.value):
                self.over(key, index, _words(wanted))
            else:
                self.failed(key, index, f"{_words(wanted)} was asked for, {_words(outcome.value)} holds")
        elif isinstance(error, OutcomeUnknown | BadPayload) or not isinstance(error, ConnectorError):
            self.board.say(key, index, StepState.UNKNOWN, f"whether it took is not known yet: {words_of(error)}")
        elif isinstance(error, Unreachable):
            self.nothing_sent(key, index, words_of(error))
        else:
            self.failed(key, index, words_of(error))

    def watch(self, key: str, index: int) -> bool:
        """Ask what holds, where no answer came or a restart came between."""
        now = self.board.clock_us()
        if key in self._busy or now - self._asked_us.get(key, 0) < self._pace.again_s * 1e6:
            return False
        self._asked_us[key] = now
        rollout = self.board.get(key)
        step = rollout.steps[index].step
        wanted = self._wanted(step, rollout.going_back)
        self._work(key, step, partial(_read, self.board.hands, step), partial(self._settled, key, index, wanted))
        return False

    def _settled(self, key: str, index: int, wanted: Held, outcome: Outcome[Held]) -> None:
        self._busy.discard(key)
        if outcome.error is not None:
            self.board.say(key, index, StepState.UNKNOWN, f"what holds is not known: {words_of(outcome.error)}")
        elif _holds(wanted, outcome.value):
            self.over(key, index, _words(wanted))
        else:
            self.nothing_sent(key, index, f"{_words(outcome.value)} still holds")

    def _wanted(self, step: Step, back: bool) -> Held:
        if step.do == "mode":
            return step.from_mode if back else step.mode
        if back:
            return dict(step.from_weights)
        fact = self.board.store.state.fleets.get(place(step.service, step.environment))
        names = {n.name for n in fact.value.nodes} if fact else set()
        return shares(step.nodes, names | dict(step.from_weights).keys(), step.percent)

    def _work(self, key: str, step: Step, work: Callable[[], Held], done: Callable[[Outcome[Held]], None]) -> None:
        self._busy.add(key)
        self._runner.submit(f"deploy:{step.environment}:{key}", work, done)


def read_port(hands: Hands, step: Step) -> Held:
    """What holds now; Unreachable where the port is gone. Blocks."""
    return _read(hands, step)


def _read(hands: Hands, step: Step) -> Held:
    if step.do == "mode":
        venue = hands.venue(step.service)
        if venue is None:
            raise Unreachable("Nothing that knows the venue's mode is connected.")
        return venue.mode(step.service, step.environment)
    traffic = hands.traffic(step.service)
    if traffic is None:
        raise Unreachable("Nothing that shares the traffic is connected.")
    return traffic.weights(step.service, step.environment)


def _set(hands: Hands, step: Step, wanted: Held) -> Held:
    if isinstance(wanted, str):
        venue = hands.venue(step.service)
        if venue is None:
            raise Unreachable("Nothing that switches the venue's mode is connected.")
        return venue.set_mode(step.service, step.environment, wanted)
    traffic = hands.traffic(step.service)
    if traffic is None:
        raise Unreachable("Nothing that shares the traffic is connected.")
    return traffic.set_weights(step.service, step.environment, wanted)


def _holds(wanted: Held, found: Held | None) -> bool:
    if isinstance(wanted, str) or not isinstance(found, dict):
        return wanted == found
    return all(found.get(name, 0) == percent for name, percent in wanted.items())


def _words(held: Held | None) -> str:
    if isinstance(held, dict):
        return ", ".join(f"{name} {percent} %" for name, percent in sorted(held.items())) or "no traffic"
    return held or "nothing"
