"""Rollouts in the journal: what is written at each step, and a rollout made again from what was written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.strategy import Rollout, RolloutState, StepRun
from cockpit.domain.strategy_plan import weights_left
from cockpit.services.runtime import Outcome, Runner
from cockpit.storage.journal import Entry, Journal
from cockpit.storage.owner import owner_alive, process_owner

ACTION = "rollout"
REHEARSAL = "rehearsal"
ENDED = 50  # rollouts that are looked back upon
Done = Callable[[Outcome[Any]], None]


class Found(Struct, frozen=True):
    """A rollout as the journal tells it: the number of its newest entry, which process drives it, and whether that one still lives.

    `claimed`: the number of the entry by which that process took it.
    """

    rollout: Rollout
    seq: int
    owner: str
    alive: bool
    claimed: int = 0


class Record:
    """Reads and writes in the journal's lane, in order. `done` is called on the main thread."""

    def __init__(self, journal: Journal | None, runner: Runner, alive: Callable[[str], bool] | None = None) -> None:
        self._journal = journal
        self._runner = runner
        self._alive = alive or elsewhere_alive
        self._looked_back = False

    def write(self, kind: str, rollout: Rollout, who: str, detail: dict[str, Any], done: Done) -> None:
        """One entry of this rollout, on the disk when `done` hears of it; its error is a StorageError."""
        self._runner.submit("journal", partial(self._append, kind, rollout, who, detail), done)

    def _append(self, kind: str, rollout: Rollout, who: str, detail: dict[str, Any], action: str = ACTION) -> Entry:
        services = {service for service, _ in rollout.places}
        service = next(iter(services)) if len(services) == 1 else ""
        environment = rollout.places[0][1] if rollout.places else ""
        return self._opened.append(kind, rollout.key, action, who, service, environment, detail)

    @property
    def _opened(self) -> Journal:
        if self._journal is None:
            raise RuntimeError("a window that only reads writes nothing")
        return self._journal

    def note(self, rollout: Rollout, who: str, detail: dict[str, Any], done: Done) -> None:
        """What a rehearsal found."""
        self._runner.submit("journal", partial(self._append, "note", rollout, who, detail, REHEARSAL), done)

    def entries_of(self, key: str, done: Done) -> None:
        """All entries of an action or rollout, oldest first."""
        journal = self._journal
        self._runner.submit("journal", lambda: journal.progress_of(key) if journal else (), done)

    def claim(self, rollout: Rollout, who: str, done: Done) -> None:
        """Take a rollout over that no living process drives; `done` hears the Found, with `alive` where somebody else was first."""

        def work() -> Found | None:
            before = found_in(self._opened.progress_of(rollout.key), self._alive)
            if before is None or before.alive or before.rollout.state.final:
                return before
            detail = {"taken_after": before.seq, "message": "taken over"}
            mine = self._append("progress", rollout, who, detail)
            # the journal puts two that claim at once in order: the first one has it
            after = found_in(self._opened.progress_of(rollout.key), self._alive)
            lost = after is None or after.claimed != mine.seq
            return replace(before, seq=mine.seq, alive=lost)

        self._runner.submit("journal", work, done)

    def read(self, known: tuple[str, ...], done: Done) -> None:
        """Every rollout that has not ended, and those of these keys, as Found; at first also those that left traffic shares behind."""

        def work() -> tuple[Found, ...]:
            if self._journal is None:
                return ()
            left = () if self._looked_back else self._left_behind(self._journal)
            self._looked_back = True
            keys = dict.fromkeys((*(e.key for e in self._journal.unfinished() if e.action == ACTION), *known, *left))
            found = (found_in(self._journal.progress_of(key), self._alive) for key in keys)
            return tuple(f for f in found if f is not None)

        self._runner.submit("journal", work, done)

    def _left_behind(self, journal: Journal) -> tuple[str, ...]:
        """The keys of rollouts that were stopped or failed with other shares of the traffic than before, where no later one set them."""
        ended = (e.key for e in journal.entries(ENDED, text=ACTION, kinds=("outcome",)) if e.action == ACTION)
        found = [f.rollout for f in (found_in(journal.progress_of(key), self._alive) for key in dict.fromkeys(ended)) if f is not None]
        places = dict.fromkeys(at for rollout in found for at in rollout.places)
        left = (weights_left(found, *at) for at in places)
        return tuple(rollout.key for rollout in left if rollout is not None)

    def rehearsals(self, done: Done) -> None:
        """The notes of past rehearsals, newest first."""
        journal = self._journal

        def work() -> tuple[Entry, ...]:
            found = journal.entries(200, text=REHEARSAL, kinds=("note",)) if journal else ()
            return tuple(e for e in found if e.action == REHEARSAL)

        self._runner.submit("journal", work, done)


def elsewhere_alive(owner: str) -> bool:
    """Whether another process lives that wrote this: what this one wrote and does not drive is driven by nobody."""
    return owner != process_owner() and owner_alive(owner)


def intent_of(rollout: Rollout) -> dict[str, Any]:
    """The whole rollout, with all steps."""
    content: dict[str, Any] = msgspec.to_builtins(rollout)
    return content


def progress_of(rollout: Rollout, changed: tuple[int, ...]) -> dict[str, Any]:
    """Where it stands, and the steps that changed."""
    return {
        "state": str(rollout.state),
        "message": "; ".join(_words(rollout, i) for i in changed) or rollout.message,
        "said": rollout.message,
        "going_back": rollout.going_back,
        "reason": rollout.reason,
        "steps": {str(i): msgspec.to_builtins(rollout.steps[i]) for i in changed},
    }


def outcome_of(rollout: Rollout) -> dict[str, Any]:
    """How it ended, step by step, and how long it took."""
    took_s = round((rollout.ended_at_us - rollout.started_at_us) / 1e6, 3)
    whole = progress_of(rollout, tuple(range(len(rollout.steps))))
    return {**whole, "message": rollout.message, "title": rollout.title, "took_s": took_s, "kind": rollout.kind}


def _words(rollout: Rollout, index: int) -> str:
    run = rollout.steps[index]
    return f"step {index + 1} of {len(rollout.steps)}, {run.step.do} {run.step.service}: {run.state}" + (
        f", {run.message}" if run.message else ""
    )


def found_in(entries: tuple[Entry, ...], alive: Callable[[str], bool]) -> Found | None:
    """The rollout that these entries (oldest first) tell of; None where they tell of none that can be read."""
    begun = next((e for e in entries if e.kind == "intent" and e.action == ACTION), None)
    if begun is None:
        return None
    try:
        rollout = msgspec.convert(begun.detail, Rollout, strict=False)
        for entry in entries:
            if entry.kind in ("progress", "outcome") and "steps" in entry.detail:
                rollout = _told(rollout, entry)
    except (msgspec.ValidationError, LookupError, ValueError):
        return None
    claim = begun
    for before, entry in pairwise(entries):
        if entry.detail.get("taken_after") == before.seq:
            claim = entry
    return Found(rollout, entries[-1].seq, claim.owner, alive(claim.owner), claim.seq)


def _told(rollout: Rollout, entry: Entry) -> Rollout:
    steps = list(rollout.steps)
    for index, run in entry.detail["steps"].items():
        steps[int(index)] = msgspec.convert(run, StepRun, strict=False)
    state = RolloutState(entry.detail["state"])
    ended = entry.at_us if entry.kind == "outcome" else 0
    return replace(
        rollout,
        steps=tuple(steps),
        state=state,
        message=str(entry.detail["said"]),
        going_back=bool(entry.detail["going_back"]),
        reason=str(entry.detail.get("reason", rollout.reason)),
        ended_at_us=ended,
    )
