"""Approvals and rejections, whichever process recorded them: the journal is asked again and again for those that are new."""

from __future__ import annotations

import msgspec

from cockpit.domain.approvals import Approval
from cockpit.services.notices import Notices
from cockpit.services.runtime import Outcome, Runner
from cockpit.services.store import Store
from cockpit.storage.journal import Entry, Journal

LANE = "journal"  # behind what this process writes there


class Decisions:
    """Keeps `state.approvals` as the journal has them. Main thread only; `poll` reads in the background."""

    def __init__(self, store: Store, runner: Runner, journal: Journal | None, notices: Notices) -> None:
        self._store = store
        self._runner = runner
        self._journal = journal
        self._notices = notices
        self._seen = 0
        self._under_way = False

    def read(self) -> None:
        """Take over what is new, at once: about a millisecond where little is. StorageError where it cannot be read."""
        if self._journal is not None:
            self._take(self._journal.decisions(self._seen))

    def poll(self) -> None:
        """The same in the background; a failure is told once, until it has passed."""
        journal, seen = self._journal, self._seen
        if journal is None or self._under_way:
            return
        self._under_way = True
        self._runner.submit(LANE, lambda: journal.decisions(seen), self._polled)

    def _polled(self, outcome: Outcome[tuple[Entry, ...]]) -> None:
        self._under_way = False
        if outcome.error is None:
            self._notices.over("decisions")
            self._take(outcome.value or ())
        elif not self._notices.told("decisions"):
            self._notices.error(outcome.error, key="decisions", place="approvals")

    def _take(self, entries: tuple[Entry, ...]) -> None:
        if entries:
            self._seen = max(self._seen, entries[-1].seq)
            self.add(*approvals_of(entries))

    def add(self, *approvals: Approval) -> None:
        """Those that are not known yet, after those that are."""
        known = self._store.state.approvals
        every = tuple(dict.fromkeys((*known, *approvals)))
        if len(every) > len(known):
            self._store.apply(approvals=every)


def approvals_of(entries: tuple[Entry, ...]) -> tuple[Approval, ...]:
    """The approvals and rejections that the journal holds; entries that do not read as one are left out."""
    found = []
    for entry in entries:
        if entry.action in ("approve", "reject") and entry.kind == "note":
            try:
                found.append(msgspec.convert(entry.detail, Approval))
            except msgspec.ValidationError:
                continue
    return tuple(found)
