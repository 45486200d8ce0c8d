"""Moves rollouts on, step by step: fires what is due, waits for what is under way, pauses when it cannot see, goes back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace

from cockpit.domain.errors import CockpitError
from cockpit.domain.facts import place
from cockpit.domain.strategy import Rollout, RolloutState, StepRun, StepState
from cockpit.services.notices import Notices, Severity
from cockpit.services.rollout_back import taken_back
from cockpit.services.rollout_hands import Hands, RolloutPace
from cockpit.services.rollout_record import Record, outcome_of, progress_of
from cockpit.services.runtime import MainThread, Outcome
from cockpit.services.store import Store

ACTIVE = ("deploy", "weight", "mode")  # steps that change something outside
UNDER_WAY = (StepState.RUNNING, StepState.UNKNOWN)
MOVING = (RolloutState.RUNNING, RolloutState.GOING_BACK)
CHOICE = "Look at what runs, then go on, go back or stop."


class Board:
    """The rollouts as they stand: changes them in the store, in the journal and in words. Main thread only."""

    def __init__(self, store: Store, record: Record, hands: Hands, notices: Notices, clock_us: Callable[[], int]) -> None:
        self.store = store
        self.record = record
        self.hands = hands
        self.notices = notices
        self.clock_us = clock_us
        self.mine: set[str] = set()  # those that this process drives
        self.claiming: set[str] = set()  # what a person said of these waits until the journal has handed them over
        self.wanted: dict[str, str] = {}  # back or stop, once what is under way has ended
        self.before: dict[tuple[str, int], StepState] = {}  # what a step was before its undoing began
        self.insisted: set[str] = set()  # a person saw that the nodes differ from the plan, and goes on all the same

    def get(self, key: str) -> Rollout:
        """The rollout of that key."""
        return self.store.state.rollouts[key]

    def show(self, rollout: Rollout) -> None:
        """Into the store only: what the journal need not tell."""
        if self.store.state.rollouts.get(rollout.key) != rollout:
            self.store.merge("rollouts", {rollout.key: rollout})

    def put(self, rollout: Rollout, *changed: int, done: Callable[[Outcome[Any]], None] | None = None) -> None:
        """Into the store and the journal."""
        self.show(rollout)
        self.record.write("progress", rollout, self.hands.who() or rollout.who, progress_of(rollout, changed), done or self.written)

    def written(self, outcome: Outcome[Any]) -> None:
        """Tell where the journal could not be written."""
        if outcome.error is not None:
            self.notices.error(outcome.error, key="journal", place="activity")

    def step(self, key: str, index: int, state: StepState, message: str = "", **fields: Any) -> Rollout:
        """The rollout with this step in its next state; in the store and the journal. A state that ends it gives it its end."""
        rollout = self.with_step(key, index, state, message, **fields)
        self.put(rollout, index)
        return rollout

    def with_step(self, key: str, index: int, state: StepState, message: str = "", **fields: Any) -> Rollout:
        """The same, put nowhere yet."""
        rollout, now = self.get(key), self.clock_us()
        run = rollout.steps[index]
        ended = now if state.over or state is StepState.FAILED else 0
        begun = 0 if state is StepState.WAITING else run.started_at_us or now
        times = {"started_at_us": begun, "ended_at_us": ended, **fields}
        return with_run(rollout, index, replace(run.to(state), message=message, **times))

    def say(self, key: str, index: int, state: StepState, message: str) -> None:
        """What a step waits for, in the store only."""
        rollout = self.get(key)
        self.show(with_run(rollout, index, replace(rollout.steps[index].to(state), message=message)))

    def pause(self, key: str, words: str) -> None:
        """Nothing more begins until a person says so; what is under way goes on. A bake begins anew then."""
        rollout = self.get(key)
        if rollout.state not in MOVING:
            return
        changed = [i for i, run in enumerate(rollout.steps) if run.step.do in ("bake", "gate") and run.state in UNDER_WAY]
        for i in changed:
            rollout = with_run(rollout, i, replace(rollout.steps[i].to(StepState.WAITING), started_at_us=0, message=""))
        self.put(replace(rollout.to(RolloutState.PAUSED), message=words), *changed)
        self.notices.tell(
            Severity.WARNING,
            f"{rollout.title}: paused",
            words,
            hint=CHOICE,
            key=f"rollout:{key}",
            place="rollout",
            group=_group(rollout),
            about=rollout.kind,
        )

    def turn(self, key: str, words: str) -> None:
        """Go back from here: what has not begun is skipped, what was done is undone in reverse order."""
        rollout = self.get(key)
        changed = []
        for i, run in enumerate(rollout.steps):
            begun = run.step.do in ACTIVE and run.state is not StepState.WAITING
            if not begun and run.state not in (StepState.DONE, StepState.SKIPPED, StepState.UNDONE):
                rollout = with_run(rollout, i, replace(run.to(StepState.SKIPPED), ended_at_us=self.clock_us()))
                changed.append(i)
        self.put(replace(rollout.to(RolloutState.GOING_BACK), going_back=True, message=words), *changed)
        self.notices.tell(
            Severity.WARNING,
            f"{rollout.title}: going back",
            words,
            hint="What was done is undone, the last step first.",
            key=f"rollout:{key}",
            place="rollout",
            group=_group(rollout),
            about="rollback",
        )

    def end(self, key: str, state: RolloutState, words: str, hint: str = "") -> None:
        """The last word on a rollout, in the journal too."""
        rollout = replace(self.get(key).to(state), message=words, ended_at_us=self.clock_us())
        self.show(rollout)
        self.record.write("outcome", rollout, self.hands.who() or rollout.who, outcome_of(rollout), self.written)
        self.mine.discard(key)
        self.wanted.pop(key, None)
        self.insisted.discard(key)
        self.notices.over(f"rollout:{key}")
        loud = Severity.OK if state in (RolloutState.DONE, RolloutState.BACK) else Severity.WARNING
        loud = Severity.ERROR if state is RolloutState.FAILED else loud
        about = "rollback" if rollout.going_back else rollout.kind
        self.notices.tell(loud, f"{rollout.title}: {state}", words, hint=hint, place="rollout", group=_group(rollout), about=about)


def _group(rollout: Rollout) -> str:
    """The place that its notices are about: of several, the first."""
    return place(*rollout.places[0]) if rollout.places else ""


def with_run(rollout: Rollout, index: int, run: StepRun) -> Rollout:
    """The rollout with another run of one step."""
    return replace(rollout, steps=(*rollout.steps[:index], run, *rollout.steps[index + 1 :]))


def under_way(rollout: Rollout) -> int | None:
    """The step that is changing something outside right now, if any."""
    steps = enumerate(rollout.steps)
    return next((i for i, run in steps if run.step.do in ACTIVE and run.state in UNDER_WAY), None)


class Drive:
    """Looks at every rollout of this process again and again. Main thread only; what may block goes to the runner."""

    def __init__(
        self, board: Board, carriers: dict[str, Carrier], main: MainThread, jumped: Callable[[], float], pace: RolloutPace
    ) -> None:
        self._board = board
        self._carriers = carriers
        self._main = main
        self._jumped = jumped
        self._pace = pace
        self._cancel: Callable[[], None] | None = None
        self._closed = False

    def close(self) -> None:
        """Look at nothing any more; what had not ended is shown paused at the next start."""
        self._closed = True
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

    def take(self, key: str) -> None:
        """Drive this rollout from now on."""
        self._board.mine.add(key)
        if self._cancel is None and not self._closed:
            self._jumped()  # what the clock did before anything was under way is no matter
            self._cancel = self._main.call_later(self._pace.look_s, self._turn)
        self.soon(key)

    def soon(self, key: str) -> None:
        """Look at one as soon as possible."""
        self._main.post(partial(self._look, key))

    def at_once(self, key: str) -> None:
        """Look at one now: what a person says holds before anything else happens."""
        self.take(key)
        self._look(key)

    def _turn(self) -> None:
        self._cancel = None
        if self._closed:
            return
        moved_s = self._jumped()
        for key in sorted(self._board.mine):
            if moved_s:
                words = f"the clock moved by {moved_s:+.0f} s: the machine slept or the clock was set, and nobody watched meanwhile"
                self._board.pause(key, words)
            self._look(key)
        if self._board.mine:
            self._cancel = self._main.call_later(self._pace.look_s, self._turn)

    def _look(self, key: str) -> None:
        if self._closed or key not in self._board.mine:
            return
        try:
            if self._advance(key):
                self.soon(key)
        except Exception as error:  # noqa: BLE001 - a defect in one rollout must not leave the others without anybody
            self._board.notices.error(error, key=f"rollout-defect:{key}", place="rollout")
            self._board.pause(key, f"a defect stopped it: {error}")

    def _advance(self, key: str) -> bool:
        """Do the next thing; answers whether there may be another right after it."""
        board = self._board
        rollout = board.get(key)
        if rollout.state.final:
            board.mine.discard(key)
            return False
        index = under_way(rollout)
        if index is not None:
            return self._carriers[rollout.steps[index].step.do].watch(key, index)
        wanted = board.wanted.get(key, "").partition(":")
        if wanted[0] == "stop":
            board.end(key, RolloutState.ABORTED, wanted[2] or "stopped where it stood", hint=STOPPED)
            return False
        if wanted[0] == "back":
            del board.wanted[key]
            board.turn(key, wanted[2] or "a person asked for it")
            return True
        if rollout.state is RolloutState.GOING_BACK:
            return self._backward(key, rollout)
        return rollout.state is RolloutState.RUNNING and self._forward(key, rollout)

    def _forward(self, key: str, rollout: Rollout) -> bool:
        index = rollout.current
        if index == len(rollout.steps):
            self._board.end(key, RolloutState.DONE, f"all {len(rollout.steps)} steps are done")
            return False
        run = rollout.steps[index]
        if run.state is StepState.FAILED:
            self._failed(key, rollout, index)
            return True
        # a bake and a gate see by themselves that it is gone, and fail
        back = taken_back(self._board.store.state, rollout, self._board.clock_us()) if run.step.do in (*ACTIVE, "hold") else ""
        if back:
            self._board.pause(key, f"{back}: it does not go on")
            return False
        return self._carriers[run.step.do].begin(key, index)

    def _failed(self, key: str, rollout: Rollout, index: int) -> None:
        words = f"step {index + 1} of {len(rollout.steps)} failed: {rollout.steps[index].message}"
        if rollout.on_failure == "back":
            self._board.turn(key, words)
        else:
            self._board.end(key, RolloutState.FAILED, words, hint="It stands where it stopped. Go back undoes the steps that were done.")

    def _backward(self, key: str, rollout: Rollout) -> bool:
        done = [i for i, run in enumerate(rollout.steps) if run.step.do in ACTIVE and run.state in (StepState.DONE, StepState.FAILED)]
        if not done:
            self._board.end(key, RolloutState.BACK, "everything that was done is undone")
            return False
        run = rollout.steps[done[-1]]
        if run.state is StepState.FAILED and run.message.startswith(NOT_UNDONE):
            kept = ", ".join(str(i + 1) for i in done)
            words = f"going back failed at step {done[-1] + 1}: {run.message}; not undone: {kept}"
            self._board.end(key, RolloutState.FAILED, words, hint="Look at the nodes. Go back tries it again from there.")
            return False
        return self._carriers[run.step.do].begin(key, done[-1])


NOT_UNDONE = "could not be undone: "
STOPPED = "The nodes may run different versions. A rollback puts them on one."


class Carrier:
    """Carries one kind of step out, forwards or, in a rollout that is going back, backwards."""

    def __init__(self, board: Board) -> None:
        self.board = board

    def begin(self, key: str, index: int) -> bool:
        """Begin it; answers whether there is more to do at once."""
        raise NotImplementedError

    def watch(self, key: str, index: int) -> bool:
        """Look at what it became; answers whether there is more to do at once."""
        raise NotImplementedError

    def over(self, key: str, index: int, message: str) -> bool:
        """It is done, or undone."""
        rollout = self.board.get(key)
        self.board.step(key, index, StepState.UNDONE if rollout.going_back else StepState.DONE, message)
        return True

    def failed(self, key: str, index: int, words: str) -> bool:
        """It did not come to its end, and may have changed something."""
        going_back = self.board.get(key).going_back
        rollout = self.board.step(key, index, StepState.FAILED, f"{NOT_UNDONE}{words}" if going_back else words)
        if rollout.state is RolloutState.PAUSED:
            title = f"{rollout.title}: step {index + 1} failed while it was paused"
            self.board.notices.tell(Severity.ERROR, title, words, hint=CHOICE, key=f"rollout:{key}", place="rollout")
        return True

    def nothing_sent(self, key: str, index: int, words: str) -> bool:
        """Nothing was changed: as if it had not begun. A person says whether it is tried again."""
        before = self.board.before.pop((key, index), StepState.DONE)
        self.board.step(key, index, before if self.board.get(key).going_back else StepState.WAITING, words, action="")
        if key in self.board.wanted:
            return True
        self.board.pause(key, f"step {index + 1} was not carried out: {words}")
        return False


class Patient(Carrier):
    """A bad answer counts once it has stood a while: one look may come between two states."""

    def __init__(self, board: Board, pace: RolloutPace) -> None:
        super().__init__(board)
        self.pace = pace
        self._bad_since: dict[str, int] = {}

    def sure(self, key: str, bad: str) -> bool:
        """Whether `bad` ("" = nothing is) has been so long enough."""
        now = self.board.clock_us()
        if not bad:
            self._bad_since.pop(key, None)
            return False
        if now - self._bad_since.setdefault(key, now) < self.pace.sure_s * 1e6:
            return False
        del self._bad_since[key]
        return True


def words_of(error: BaseException | None) -> str:
    """What an error says."""
    if isinstance(error, CockpitError):
        reasons = getattr(error, "reasons", ())
        return "; ".join(reasons) if len(reasons) > 1 else error.message
    return str(error or "no answer")
