"""What a window that ended left in the journal: the last word on a watch is never "watching" where nobody watches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cockpit.domain.calendar import time_words
from cockpit.domain.facts import place
from cockpit.domain.watching import Finding, WatchState
from cockpit.services.watch_run import ACTION, Run

if TYPE_CHECKING:
    from cockpit.services.runtime import Outcome, Runner
    from cockpit.storage.journal import Entry, Journal

LANE = "journal"
LOOK_BACK = 500  # notes


class Left:
    """By place the newest word on a watch that had not ended. Main thread only; the journal is read and written in its lane."""

    def __init__(self, runner: Runner, journal: Journal | None, clock_us: Callable[[], int]) -> None:
        self._runner = runner
        self._journal = journal
        self._clock_us = clock_us
        self._open: dict[str, Entry] = {}
        self._begun_us = 0
        self.unwritten: Callable[[Exception], object] = lambda error: None

    def read(self) -> None:
        """Ask the journal, once, when this process begins to look."""
        journal, again = self._journal, self._begun_us
        self._begun_us = self._begun_us or self._clock_us()
        if journal is not None and not again:
            self._runner.submit(LANE, lambda: journal.entries(LOOK_BACK, kinds=("note",)), self._found)

    def _found(self, outcome: Outcome[tuple[Entry, ...]]) -> None:
        if outcome.error is not None:
            self.unwritten(outcome.error)
        newest: dict[str, Entry] = {}
        for entry in outcome.value or ():
            # what this process wrote meanwhile is no word of another
            if entry.action == ACTION and "over" in entry.detail and entry.at_us < self._begun_us:
                newest.setdefault(place(entry.service, entry.environment), entry)
        self._open = {at: entry for at, entry in newest.items() if not entry.detail["over"]}

    def settle(self, at: str, run: Run | None) -> Finding | None:
        """What runs there is known: take the watch up, or end it. Answers what nobody saw, where it was taken up."""
        entry = self._open.pop(at, None)
        if entry is None:
            return None
        until_us = max(self._clock_us(), entry.at_us)
        words = f"nobody watched from {time_words(entry.at_us, until_us)}, the last word of the window before,"
        words = f"{words} to {time_words(until_us, until_us)}"
        again = {name: entry.detail.get(name, "") for name in ("deployment", "version")}
        # a rollout's key is not known until the rollouts were read
        mine = run is not None and run.deployment.version == again["version"]
        mine = mine and run is not None and (run.key == entry.key or run.deployment.id == again["deployment"])
        if mine:
            self._write(entry, {**again, "said": "taken up", "message": words})
            return Finding("silence", words, entry.at_us, until_us)
        said = {"said": str(WatchState.BLIND), "message": f"{words}: it was not taken up again", "over": True, "verdict": ""}
        self._write(entry, {**again, **said})
        return None

    def _write(self, entry: Entry, detail: dict[str, Any]) -> None:
        journal, about = self._journal, ("note", entry.key, ACTION, "", entry.service, entry.environment)
        if journal is not None:
            self._runner.submit(LANE, lambda: journal.append(*about, detail), self._written)

    def _written(self, outcome: Outcome[Any]) -> None:
        if outcome.error is not None:
            self.unwritten(outcome.error)
