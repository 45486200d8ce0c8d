"""One action at a time in an environment, for a whole team: the shared lock around a deployment, and who holds it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from msgspec.structs import replace

from cockpit.connectors.ports import Lock, LockHeld
from cockpit.domain.errors import CockpitError, ConnectorError, NotAllowed, Rejected, Unreachable
from cockpit.domain.facts import Fact
from cockpit.domain.policy import Rules
from cockpit.domain.rollout import Action
from cockpit.domain.watching import AUTOMATIC
from cockpit.services.connections import Connections
from cockpit.services.notices import Notices, Severity
from cockpit.services.runtime import Outcome, Runner
from cockpit.services.store import Store
from cockpit.storage.journal import Journal

_KEY = re.compile(r" \[([0-9A-Za-z._-]{1,64})\]$")
_ANY_KEY = re.compile(r" \[[0-9A-Za-z._-]{1,64}\](?=\.?$)")
KEPT = 200  # more actions than that are never on their way to giving back
Seen = dict[str, LockHeld | None]


class Locks:
    """Takes, gives back and watches the locks of environments.

    `lock` is where they are kept (None: nowhere) and `rules` say where one is needed; both may be replaced on the main thread.
    `take`, `take_for`, `release` and `release_for` block and belong into a worker; the rest is for the main thread. Giving back has a
    lane of its own, for git may be slow and what comes after an action must not wait for it.
    """

    def __init__(
        self,
        store: Store,
        runner: Runner,
        journal: Journal | None,
        connections: Connections,
        notices: Notices,
        clock_us: Callable[[], int],
        deadline_s: float = 15.0,
    ) -> None:
        self.lock: Lock | None = None
        self.rules = Rules()
        self._store = store
        self._runner = runner
        self._journal = journal
        self._connections = connections
        self._notices = notices
        self._clock_us = clock_us
        self._deadline_s = deadline_s
        self._asking = False
        self._over: dict[str, None] = {}  # keys of actions that need their lock no more, whether or not it is back already

    def needed(self, service: str, environment: str) -> bool:
        """Whether an action there takes the lock first. "auto": where there is a place for locks and the system itself has none."""
        rule = self.rules.locks.get(environment, "auto")
        if rule == "auto":
            return self.lock is not None and not self._connections.exclusive(service)
        return rule == "always"

    # -- in a worker ---------------------------------------------------------------------------------------------------------

    def take(self, environment: str, who: str, reason: str) -> LockHeld:
        """Take an environment's lock. NotAllowed with the holder's words where it is held; Unreachable where it cannot be taken."""
        try:
            if self.lock is None:
                raise Unreachable("no policy repository is set that could keep it", hint="Name one under [policy].")
            return self.lock.take(environment, who, reason, self._clock_us())
        except Rejected as error:
            raise NotAllowed(_ANY_KEY.sub("", error.message), hint=error.hint, title="Locked by somebody else") from error
        except Exception as error:  # a defect in a connector is one more way of not having the lock
            words = error.message if isinstance(error, CockpitError) else str(error)
            hint = "Start it again and give a reason to go on without the lock."
            raise Unreachable(f"The lock of {environment} could not be taken: {words}", hint=hint) from error

    def release(self, held: LockHeld) -> None:
        """Give it back; nothing happens where it was broken meanwhile. ConnectorErrors."""
        if self.lock is not None:
            self.lock.release(held)

    def take_for(self, action: Action, reason: str) -> dict[str, str]:
        """What the journal shall have of the lock, {} where none is needed. Raises as `take`.

        Where it cannot be taken, a person's `reason` lets the action go on without it.
        """
        if not self.needed(action.service, action.environment):
            return {}
        words = f"{_words(action)} [{action.key}]"
        try:
            return {"lock": self._take_over(action.environment, action.who, words).token}
        except Unreachable as error:
            if not reason.strip() or reason.startswith(AUTOMATIC):
                raise
            return {"message": f"without lock: {error.message}"}

    def _take_over(self, environment: str, who: str, words: str) -> LockHeld:
        """Take it; what an action of ours holds that needs it no more, and that is on its way back, is in nobody's way."""
        try:
            return self.take(environment, who, words)
        except NotAllowed:
            held = self._holder(environment)
            if held is None or key_of(held) not in self._over:
                raise
            self.release(held)
            return self.take(environment, who, words)

    def _holder(self, environment: str) -> LockHeld | None:
        try:
            return self.lock.holder(environment) if self.lock is not None else None
        except ConnectorError:
            return None  # then what was said of the holder stands

    def release_for(self, action: Action) -> LockHeld | None:
        """Give back the lock that this action took, by whatever process: it is known by the action's key. Answers who holds it then.

        What cannot be reached now is given back by a later poll.
        """
        if self.lock is None or not self.needed(action.service, action.environment):
            return None
        held = self.lock.holder(action.environment)
        if held is not None and key_of(held) == action.key:
            self.lock.release(held)
            return None
        return held

    # -- giving back, on the main thread -------------------------------------------------------------------------------------

    def give_back(self, action: Action) -> None:
        """This action needs its lock no more: give it back in the background; a poll does it where that fails."""
        if self.lock is None or action.key in self._over or not self.needed(action.service, action.environment):
            return
        self._over[action.key] = None
        if len(self._over) > KEPT:
            del self._over[next(iter(self._over))]
        known = self._store.state.locks.get(action.environment)
        if known is not None and known.value.startswith(action.who) and known.value.endswith(f": {_words(action)}"):
            self._store.merge("locks", {action.environment: replace(known, value="")})
        self._runner.submit(lane_of(action.environment), partial(self.release_for, action), partial(self._given_back, action.environment))

    def _given_back(self, environment: str, outcome: Outcome[LockHeld | None]) -> None:
        if outcome.error is None:
            self._store.merge("locks", {environment: self._fact(outcome.value)})

    def _fact(self, held: LockHeld | None) -> Fact[str]:
        # an answer from before it was given back must not close the way
        mine = held is not None and key_of(held) in self._over
        return Fact("" if mine else words_of(held), self._clock_us(), "locks", self._deadline_s)

    # -- on the main thread --------------------------------------------------------------------------------------------------

    def poll(self) -> None:
        """Ask in the background who holds the locks that are needed here; the answers stand in `state.locks`."""
        names = [s.name for s in self._store.state.services]
        wanted = [e.name for e in self._store.state.environments if any(self.needed(name, e.name) for name in names)]
        if self.lock is None or not wanted or self._asking:
            return
        self._asking = True
        self._runner.submit("locks", partial(self._ask, self.lock, wanted), self._asked)

    def _ask(self, lock: Lock, environments: list[str]) -> Seen:
        return {name: self._living(lock, lock.holder(name)) for name in environments}

    def _living(self, lock: Lock, held: LockHeld | None) -> LockHeld | None:
        """The holding, unless it is of an action of ours that has ended: that is given back."""
        key = key_of(held) if held is not None else ""
        if held is None or not key:
            return held
        if key not in self._over and (self._journal is None or all(e.kind != "outcome" for e in self._journal.progress_of(key))):
            return held
        lock.release(held)
        return None

    def _asked(self, outcome: Outcome[Seen]) -> None:
        self._asking = False
        if outcome.value is None:
            # what was known stays, with its age: the plan reads an old answer as none
            words = outcome.error.message if isinstance(outcome.error, CockpitError) else str(outcome.error)
            hint = "A rollback still works with a reason; its journal entry says that it went without the lock."
            self._notices.tell(Severity.WARNING, "Who holds the locks is not known", words, hint=hint, key="locks", place="sources")
            return
        self._notices.over("locks")
        self._store.merge("locks", {name: self._fact(held) for name, held in outcome.value.items()})

    def break_(self, environment: str, who: str, reason: str) -> None:
        """Take away whatever holding is there now, in the background, and journal who did it and why. NotAllowed without a reason."""
        lock, journal = self.lock, self._journal
        if lock is None or journal is None:
            raise NotAllowed("There is no lock to break here.", hint="Name a policy repository under [policy].")
        if not reason.strip():
            raise NotAllowed("Breaking a lock needs a reason.", hint="Ask the holder first; then write why.")

        def work() -> LockHeld | None:
            held = lock.holder(environment)
            if held is not None:
                # recorded first, as with every act: what is broken without a record is worse than a record of nothing broken
                detail = {"holder": held.who, "holding": held.reason, "since_us": held.at_us, "lock": held.token, "reason": reason.strip()}
                journal.append("note", f"lock:{held.token}", "break lock", who, "", environment, detail)
                lock.break_(held)
            return held

        self._runner.submit("locks", work, partial(self._broken, environment))

    def _broken(self, environment: str, outcome: Outcome[LockHeld | None]) -> None:
        if outcome.error is not None:
            self._notices.error(outcome.error, place="sources")
        elif outcome.value is None:
            self._notices.tell(Severity.OK, f"The lock of {environment} was free already", "Nothing was broken.")
        else:
            self._notices.tell(Severity.OK, f"The lock of {environment} was broken", words_of(outcome.value))
        self.poll()


def lane_of(environment: str) -> str:
    """The lane in which the locks of an environment are given back."""
    return f"lock:{environment}"


def _words(action: Action) -> str:
    return f"{action.kind} of {action.service} to {action.version}"


def key_of(held: LockHeld) -> str:
    """The key of the action that a holding is for; "" where it names none."""
    found = _KEY.search(held.reason)
    return found.group(1) if found else ""


def words_of(held: LockHeld | None) -> str:
    """Who holds it, since when and why; "" where nobody does."""
    if held is None:
        return ""
    since = f"{datetime.fromtimestamp(held.at_us / 1e6, UTC):%Y-%m-%d %H:%M} UTC" if held.at_us else "an unknown time"
    why = _KEY.sub("", held.reason)
    return f"{held.who or 'somebody unknown'} since {since}" + (f": {why}" if why else "")
