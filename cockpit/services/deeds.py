"""Carries small write actions out: intent on disk, one call, outcome. What nobody answered is asked about until it is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from cockpit.domain.deeds import Deed, DeedState
from cockpit.domain.errors import CockpitError, ConnectorError, StorageError, Unreachable
from cockpit.services.notices import Notices, Severity
from cockpit.services.outcomes import REFUSALS
from cockpit.storage.owner import owner_alive

if TYPE_CHECKING:
    from cockpit.services.runtime import MainThread, Outcome, Runner
    from cockpit.services.store import Store
    from cockpit.storage.journal import Entry, Journal

LOOK_S = 5.0  # between two questions about what nobody answered
SURE_S = 15.0  # so long the system must say that nothing came of it
KEPT = 50  # deeds that have ended


class Kind(Protocol):
    """What a kind of deed does. `send` and `look` block and are called in a worker."""

    def send(self, deed: Deed) -> str:
        """Do it, once; answers in words what holds then. Raises as the port says."""

    def look(self, deed: Deed) -> tuple[bool | None, str]:
        """Whether it took effect, None where that cannot be told, and in words what holds."""

    def after(self, deed: Deed) -> None:
        """It ended; main thread."""


class Deeds:
    """Main thread only. The state has them by key in `deeds`."""

    def __init__(
        self,
        store: Store,
        runner: Runner,
        main: MainThread,
        journal: Journal | None,
        notices: Notices,
        clock_us: Callable[[], int],
    ) -> None:
        self._store, self._runner, self._main = store, runner, main
        self._journal, self._notices, self._clock_us = journal, notices, clock_us
        self._kinds: dict[str, Kind] = {}
        self._waited_s: dict[str, float] = {}
        self._closed = False

    def close(self) -> None:
        """Ask no more; the next start takes up what is not known."""
        self._closed = True

    def add(self, kind: Kind, *names: str) -> None:
        """Deeds of these names are this kind's."""
        self._kinds |= dict.fromkeys(names, kind)

    def under_way(self, service: str, environment: str, subject: str) -> Deed | None:
        """What is not settled yet about that thing."""
        about = (service, environment, subject)
        return next((d for d in self._all() if (d.service, d.environment, d.subject) == about and not d.state.final), None)

    def since(self, service: str, environment: str, seen_us: int, slack_s: float = 0.0) -> tuple[Deed, ...]:
        """The newest of each thing there that may hold and that what was seen then cannot tell yet: under way, or just done."""
        newest: dict[str, Deed] = {}
        for deed in sorted(self._all(), key=lambda d: d.at_us):
            took = not deed.state.final or deed.state is DeedState.DONE
            if took and (deed.service, deed.environment) == (service, environment):
                newest[deed.subject] = deed
        return tuple(d for d in newest.values() if not d.state.final or d.ended_at_us + int(slack_s * 1e6) >= seen_us)

    def _all(self) -> Iterable[Deed]:
        return self._store.state.deeds.values()

    def begin(self, deed: Deed) -> Deed:
        """Write the intent, then send it once. `key` and `at_us` are set here."""
        deed = replace(deed, key=uuid4().hex, at_us=self._clock_us())
        kind = self._kinds[deed.kind]

        def work() -> str:
            self._record("intent", deed, msgspec.to_builtins(deed))
            return kind.send(deed)

        self._put(deed)
        self._submit(deed, work, partial(self._sent, deed.key))
        return deed

    def _sent(self, key: str, outcome: Outcome[str]) -> None:
        error = outcome.error
        if error is None:
            self._end(key, DeedState.DONE, outcome.value or "")
        elif isinstance(error, StorageError):
            self._end(key, DeedState.NOT_SENT, f"the intent could not be recorded: {error.message}", error)
        elif isinstance(error, REFUSALS):
            self._end(key, DeedState.REFUSED, error.message, error)
        elif isinstance(error, Unreachable):
            self._end(key, DeedState.NOT_SENT, error.message, error)
        else:
            self._doubt(key, error)

    def _doubt(self, key: str, error: Exception) -> None:
        words = error.message if isinstance(error, CockpitError) else f"{type(error).__name__}: {error}"
        deed = replace(self._store.state.deeds[key], state=DeedState.UNKNOWN, message=words)
        self._put(deed)
        hint = "It is looked at again and again until that is known. Look yourself before you do it again."
        title = f"{name_of(deed)}: outcome not known yet"
        self._notices.tell(Severity.WARNING, title, words, hint=hint, key=f"unknown:{key}", place=_place(deed))
        self._look(key)

    def _look(self, key: str) -> None:
        deed = self._store.state.deeds[key]
        if not self._closed and not deed.state.final:
            self._submit(deed, partial(self._kinds[deed.kind].look, deed), partial(self._looked, key))

    def _looked(self, key: str, outcome: Outcome[tuple[bool | None, str]]) -> None:
        took, words = outcome.value if outcome.value is not None else (None, "")
        if isinstance(outcome.error, ConnectorError):
            words = outcome.error.message
        waited_s = self._waited_s.get(key, 0.0)
        if took:
            self._end(key, DeedState.DONE, words)
        elif took is False and waited_s >= SURE_S:
            self._end(key, DeedState.NOT_SENT, f"nothing came of it: {words}")
        else:
            self._waited_s[key] = waited_s + LOOK_S if took is False else 0.0
            self._put(replace(self._store.state.deeds[key], message=words or self._store.state.deeds[key].message))
            self._main.call_later(LOOK_S, partial(self._look, key))

    def _end(self, key: str, state: DeedState, words: str, error: CockpitError | None = None) -> None:
        deed = replace(self._store.state.deeds[key], state=state, message=words, ended_at_us=self._clock_us())
        self._waited_s.pop(key, None)
        self._put(deed)
        detail = {"state": str(state), "message": words}
        self._submit(deed, partial(self._record, "outcome", deed, detail), self._noted)
        self._notices.over(f"unknown:{key}")
        loud = Severity.OK if state is DeedState.DONE else Severity.ERROR
        self._notices.tell(loud, f"{name_of(deed)}: {state}", words, hint=error.hint if error else "", place=_place(deed))
        self._kinds[deed.kind].after(deed)

    # -- after a crash -------------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Take up what a process began that is gone: it is looked at, and never sent again."""
        journal = self._journal
        if journal is None or self._closed:
            return

        def work() -> tuple[Deed, ...]:
            left = [e for e in journal.unfinished() if e.action in self._kinds and not owner_alive(e.owner)]
            return tuple(deed for e in left if (deed := deed_in(e)) is not None)

        self._runner.submit("journal", work, self._found)

    def _found(self, outcome: Outcome[tuple[Deed, ...]]) -> None:
        if outcome.error is not None:
            self._notices.error(outcome.error, key="recover", place="activity")
        for deed in outcome.value or ():
            if deed.key not in self._store.state.deeds:
                self._put(deed)
                self._doubt(deed.key, Unreachable("It was interrupted before an answer was seen."))

    # -- small things --------------------------------------------------------------------------------------------------------

    def _noted(self, outcome: Outcome[None]) -> None:
        if outcome.error is not None:
            self._notices.error(outcome.error, key="journal", place="activity")

    def _record(self, kind: str, deed: Deed, detail: dict[str, Any]) -> None:
        if self._journal is None:
            raise StorageError("There is no journal here.", hint="Nothing was sent.")
        self._journal.append(kind, deed.key, deed.kind, deed.who, deed.service, deed.environment, detail)

    def _submit(self, deed: Deed, work: Callable[[], Any], done: Callable[[Outcome[Any]], None]) -> None:
        if not self._closed:
            self._runner.submit(lane_of(deed), work, done)

    def _put(self, deed: Deed) -> None:
        known = {**self._store.state.deeds, deed.key: deed}
        ended = sorted((d for d in known.values() if d.state.final), key=lambda d: d.at_us)
        for old in ended[:-KEPT]:
            del known[old.key]
        self._store.apply(deeds=known)


def deed_in(entry: Entry) -> Deed | None:
    """The deed that an intent tells of; None where it cannot be read."""
    try:
        return msgspec.convert(entry.detail, Deed, strict=False)
    except msgspec.ValidationError:
        return None


def lane_of(deed: Deed) -> str:
    """The lane of everything that a deed asks and writes."""
    return f"deploy:{deed.environment}:{deed.key}"


def name_of(deed: Deed) -> str:
    """A deed as a person names it."""
    words = {
        "drain": f"Taking {deed.subject} out of {deed.service} in {deed.environment}",
        "ready": f"Bringing {deed.subject} back into {deed.service} in {deed.environment}",
        "approve-gate": f"Approving “{deed.title}” of {deed.service}",
        "reject-gate": f"Rejecting “{deed.title}” of {deed.service}",
    }
    return words.get(deed.kind, deed.kind)


def _place(deed: Deed) -> str:
    return "nodes" if deed.kind in ("drain", "ready") else "approvals"
