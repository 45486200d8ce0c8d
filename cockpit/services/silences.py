"""Silences for the length of an action: the alerts that a deployment is expected to cause, silenced where they come from, and released.

They never hold an action up: what fails here is told and tried again. Each begins in the journal, so that a start after a crash finds it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.errors import AuthFailed, CockpitError, NotFound, Rejected, StorageError, Unreachable
from cockpit.domain.rollout import Action, ActionState
from cockpit.services.notices import Notices, Severity
from cockpit.services.outcomes import name_of
from cockpit.storage.owner import owner_alive

if TYPE_CHECKING:
    from cockpit.services.connections import Connections
    from cockpit.services.runtime import MainThread, Outcome, Runner
    from cockpit.services.store import Change, Store
    from cockpit.storage.journal import Entry, Journal

ACTION = "silence"  # of the journal's entries
LANE = "silences"
AGAIN_S = 10.0
MOST = 2.0  # times the longest length, from the action's beginning: no number of restarts silences for longer
SHORT_S = 60.0  # of a silence that is only made to find out whether there is one
_NO = (Rejected, AuthFailed, NotFound, StorageError)  # asking again would not help


class Silence(Struct, frozen=True):
    """One silence at one connection, for one action. `id` is the system's own, "" = not known; `sent_as`: the key it was made with."""

    key: str
    action: str
    connection: str
    service: str
    environment: str
    who: str
    reason: str
    until_us: int
    names: tuple[str, ...] = ()
    id: str = ""
    sent_as: str = ""

    @property
    def detail(self) -> dict[str, Any]:
        """What stands in the journal."""
        known = {"of": self.action, "connection": self.connection, "until_us": self.until_us, "names": self.names, "id": self.id}
        return {**known, "sent_as": self.sent_as, "reason": self.reason}


class Silences:
    """Main thread only; systems and the journal are asked in a lane of their own. `heard` belongs into `Execution.ended`.

    Set from outside: `expected`, the names of alerts, and `longest_s`. Call `connected` whenever there are new connections.
    """

    def __init__(
        self,
        store: Store,
        runner: Runner,
        main: MainThread,
        journal: Journal | None,
        connections: Connections,
        notices: Notices,
        clock_us: Callable[[], int],
    ) -> None:
        self._store, self._runner, self._main = store, runner, main
        self._journal, self._connections, self._notices = journal, connections, notices
        self._clock_us = clock_us
        self.expected: tuple[str, ...] = ()
        self.longest_s = 1800.0
        self._live: dict[str, Silence] = {}
        self._begun: set[str] = set()  # keys of actions
        self._closed = False
        self._end_listening = store.subscribe(self._changed)

    def close(self) -> None:
        """Touch nothing any more; what stands is released by the next start that finds its action ended."""
        self._closed = True
        self._end_listening()

    def connected(self) -> None:
        """There are connections now: actions that are under way already, and what an earlier process left."""
        for action in self._store.state.actions.values():
            self._moved(action)
        self.recover()

    # -- make ----------------------------------------------------------------------------------------------------------------

    def _changed(self, change: Change) -> None:
        if change.touches("actions"):
            for key in change.ids:
                self._moved(self._store.state.actions.get(key))

    def _moved(self, action: Action | None) -> None:
        """An action that may have been sent gets its silences; one that is only meant does not."""
        if action is None or action.key in self._begun or action.state is ActionState.INTENDED or action.state.final:
            return
        systems = [c for c in self._connections.alerts() if action.service in c.services]
        if not systems or not self.expected or self._journal is None:
            return
        self._begun.add(action.key)
        # each start may make them anew; what hangs for longer than that is no expected noise any more
        last_us = action.intended_at_us + int(MOST * self.longest_s * 1e6)
        until_us = min(self._clock_us() + int(self.longest_s * 1e6), last_us)
        if until_us <= self._clock_us():
            return
        for system in systems:
            about = (f"silence:{action.key}:{system.id}", action.key, system.id, action.service, action.environment, action.who)
            silence = Silence(*about, f"{name_of(action)}: expected while it is under way", until_us, self.expected)
            self._live[silence.key] = silence
            self._ask_for(silence)

    def _ask_for(self, silence: Silence) -> None:
        self._submit(partial(self._make, silence), partial(self._made, silence))

    def _make(self, wanted: Silence) -> Silence:
        """In the worker: make it, or take up the one that an earlier process made; a restart extends what is near its end."""
        past = self._opened.progress_of(wanted.key)
        known = silence_in(past)
        if known is None:
            known = replace(wanted, sent_as=wanted.key)
            self._write("intent", known)
        elif any(e.kind == "outcome" for e in past):
            return known
        elif (known.id or known.until_us <= self._clock_us()) and known.until_us < wanted.until_us - self.longest_s * 1e6 / 2:
            # another one beside it: what was made under one key keeps its end
            known = replace(wanted, id="", sent_as=f"{wanted.key}:{len(past)}")
            self._write("progress", known)
        return known if known.id else self._sent(known, past)

    def _sent(self, silence: Silence, past: tuple[Entry, ...]) -> Silence:
        try:
            made = replace(silence, id=self._send(silence, silence.until_us))
        except _NO:
            stands = _made_before(past)
            if not stands:
                raise
            made = stands[-1]  # it goes on, and is released
        with contextlib.suppress(StorageError):
            # it stands: were this taken for a failure, nobody would end it
            self._write("progress", made)
        return made

    def _send(self, silence: Silence, until_us: int) -> str:
        system = self._connections.by_id(silence.connection)
        if system is None:
            raise Unreachable("The alerting system is not connected.", hint="See Sources for what is missing.")
        api = system.connector
        matchers = api.covering(silence.service, silence.environment, silence.names)
        made: str = api.silence(matchers, until_us, silence.who, silence.reason, silence.sent_as or silence.key)
        return made

    def _made(self, wanted: Silence, outcome: Outcome[Silence]) -> None:
        action = self._store.state.actions.get(wanted.action)
        over = action is None or action.state.final
        error = outcome.error
        if outcome.value is not None:
            self._live[wanted.key] = outcome.value
            self._notices.over(_notice(wanted))
            if over:
                self._release(outcome.value)
        elif isinstance(error, _NO):
            self._live.pop(wanted.key, None)
            self._tell(wanted, error, "Its expected alerts will be loud; look at them with that in mind.")
            self._end(wanted, f"not made: {error.message}")
        elif over:
            self._release(wanted)
        else:
            # with the same key: one that was made already answers with itself
            self._tell(wanted, error, "It is asked for again; until then its expected alerts are loud.")
            self._later(self._made_again, wanted)

    def _made_again(self, wanted: Silence) -> None:
        action = self._store.state.actions.get(wanted.action)
        if action is None or action.state.final:
            self._release(self._live.get(wanted.key, wanted))
        else:
            self._ask_for(wanted)

    # -- release -------------------------------------------------------------------------------------------------------------

    def heard(self, action: Action) -> None:
        """An action ended: so do its silences. One that is still being made is released once that is known."""
        for silence in [s for s in self._live.values() if s.action == action.key and s.id]:
            self._release(silence)

    def _release(self, silence: Silence) -> None:
        self._live[silence.key] = silence
        self._submit(partial(self._unmake, silence), partial(self._released, silence))

    def _unmake(self, silence: Silence) -> str:
        """In the worker; answers what became of it."""
        past = self._opened.progress_of(silence.key)
        if any(e.kind == "outcome" for e in past):
            return ""
        known = silence_in(past)
        if known is None:
            return ""  # not even meant on the disk: nothing was sent
        stands = {s.id for s in _made_before(past) if s.until_us > self._clock_us()}
        if known.until_us <= self._clock_us() and not stands:
            return self._ended(known, "it ended by itself")
        system = self._connections.by_id(known.connection)
        if system is None:
            raise Unreachable("The alerting system is not connected.", hint="See Sources for what is missing.")
        # perhaps it was made and no answer came: the same key finds it, or makes one that is over in a moment
        stands.add(known.id or self._send(known, self._clock_us() + int(SHORT_S * 1e6)))
        gone = 0
        for made in sorted(stands):
            try:
                system.connector.end_silence(made)
            except NotFound:
                gone += 1
        return self._ended(known, "it was gone already" if gone == len(stands) else "ended with what it was made for")

    def _ended(self, silence: Silence, words: str) -> str:
        self._write("outcome", silence, {"state": "done", "message": words})
        return words

    def _released(self, silence: Silence, outcome: Outcome[str]) -> None:
        if outcome.error is None:
            self._live.pop(silence.key, None)
            self._notices.over(_notice(silence))
            return
        way = "It is tried again, and the silence has an end of its own; it can be ended in the alerting system, too."
        self._tell(silence, outcome.error, way, "A silence outlives what it was made for")
        self._later(self._release, silence)

    def _end(self, silence: Silence, words: str) -> None:
        def work() -> None:
            past = self._opened.progress_of(silence.key)
            if any(e.kind == "intent" for e in past) and not _made_before(past):
                self._write("outcome", silence, {"state": "failed", "message": words})

        self._submit(work, self._noted)

    def _noted(self, outcome: Outcome[None]) -> None:
        if outcome.error is not None:
            self._notices.error(outcome.error, key="journal", place="activity")

    # -- after a crash -------------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Release what a process left that is gone, where its action has ended meanwhile; of those under way `connected` takes care."""
        if self._journal is not None and self._connections.all:
            self._submit(partial(self._left_behind, frozenset(self._live)), self._found)

    def _left_behind(self, mine: frozenset[str]) -> tuple[Silence, ...]:
        journal, found = self._opened, []
        for entry in journal.unfinished():
            if entry.action == ACTION and entry.key not in mine and not owner_alive(entry.owner):
                silence = silence_in(journal.progress_of(entry.key))
                if silence is not None and any(e.kind == "outcome" for e in journal.progress_of(silence.action)):
                    found.append(silence)
        return tuple(found)

    def _found(self, outcome: Outcome[tuple[Silence, ...]]) -> None:
        self._noted(outcome)  # type: ignore[arg-type]
        for silence in outcome.value or ():
            if silence.key not in self._live:
                self._release(silence)

    # -- small things --------------------------------------------------------------------------------------------------------

    @property
    def _opened(self) -> Journal:
        if self._journal is None:
            raise StorageError("There is no journal here.", hint="Nothing was sent.")
        return self._journal

    def _write(self, kind: str, silence: Silence, more: dict[str, Any] | None = None) -> None:
        detail = {**silence.detail, **(more or {})}
        self._opened.append(kind, silence.key, ACTION, silence.who, silence.service, silence.environment, detail)

    def _submit(self, work: Callable[[], Any], done: Callable[[Outcome[Any]], None]) -> None:
        if not self._closed:
            self._runner.submit(LANE, work, done)

    def _later(self, step: Callable[[Silence], None], silence: Silence) -> None:
        def run() -> None:
            if not self._closed:
                step(silence)

        self._main.call_later(AGAIN_S, run)

    def _tell(self, silence: Silence, error: Exception | None, hint: str, title: str = "Expected alerts are not silenced") -> None:
        words = error.message if isinstance(error, CockpitError) else str(error or "No answer came.")
        where = f"{silence.service} in {silence.environment}"
        self._notices.tell(Severity.WARNING, f"{title}: {where}", words, hint=hint, key=_notice(silence), place="alerts")


def silence_in(entries: tuple[Entry, ...]) -> Silence | None:
    """The silence that these entries (oldest first) tell of, as it stood last."""
    return next((silence for e in reversed(entries) if (silence := _one(e)) is not None), None)


def _made_before(entries: tuple[Entry, ...]) -> list[Silence]:
    """All that are known to have been made, oldest first."""
    return [silence for e in entries if (silence := _one(e)) is not None and silence.id]


def _one(last: Entry) -> Silence | None:
    if last.action != ACTION or "of" not in last.detail:
        return None
    d, names = last.detail, last.detail.get("names", ())
    about = (last.key, str(d["of"]), str(d.get("connection", "")), last.service, last.environment, last.who, str(d.get("reason", "")))
    until_us = int(d.get("until_us", 0))
    return Silence(*about, until_us, tuple(str(n) for n in names), str(d.get("id", "")), str(d.get("sent_as", "")))


def _notice(silence: Silence) -> str:
    return f"silence:{silence.connection}:{silence.service}@{silence.environment}"
