"""Requests made in this window: deploy as soon as nothing speaks against it. Any doubt disarms; nothing fires by itself later."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from msgspec import Struct

from cockpit.domain.approvals import decide
from cockpit.domain.errors import CockpitError
from cockpit.domain.facts import place
from cockpit.domain.release import Version
from cockpit.domain.rollout import Action, Refusal, RolloutPlan
from cockpit.domain.statements import Statement, requests
from cockpit.services import status
from cockpit.services.clock import Jumps
from cockpit.services.connections import Connections
from cockpit.services.notices import Notices, Severity
from cockpit.services.runtime import MainThread
from cockpit.services.store import Store
from cockpit.services.words import Words

TICK_S = 1.0
STILL_S = 15.0  # a window that stood still for so long has not seen what happened meanwhile
_NEEDED = ("SourceControl", "CiSystem", "DeploymentApi", "SignedWords", "Calendar")
_SIGN_S = 30.0  # so long a word that must be signed waits at the start for the repository that keeps it
_DOUBTFUL = ("stale", "failed", "stopped")


class Acts(Protocol):
    """What plans and fires: `Actions`."""

    def plan(
        self, kind: str, service: str, environment: str, version: str = "", *, emergency: bool = False, automatic: bool = False
    ) -> RolloutPlan | Refusal:
        """What would be done now, or why it may not."""

    def fire(self, planned: RolloutPlan, reason: str = "", *, automatic: bool = False) -> Action:
        """Carry it out."""


class _Armed(Struct, frozen=True):
    """A request under watch, and the digest that ran there when it was made ("" = not known)."""

    request: Statement
    live: str


class Requests:
    """Watches what was requested here while this window lives, each second, and fires it once when its plan has nothing against it.

    Disarmed and withdrawn, with a notice that says why, by: a source or lock that does not answer, unread words, a clock that jumped
    or a machine that slept, a tag or artifact that moved, a rejection, another version that came to run there, a newer request for that
    place, its end. Main thread only. `arm` belongs into `Words.said`; `begin` withdraws what an earlier process left.
    """

    def __init__(
        self,
        store: Store,
        main: MainThread,
        connections: Connections,
        words: Words,
        acts: Acts,
        notices: Notices,
        clock_us: Callable[[], int],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._main = main
        self._connections = connections
        self._words = words
        self._acts = acts
        self._notices = notices
        self._clock_us = clock_us
        self._monotonic_s = monotonic_s
        self._armed: dict[str, _Armed] = {}
        self._waiting: dict[str, tuple[str, ...]] = {}
        self._cancel: Callable[[], None] | None = None
        self._left: dict[str, Callable[[], None]] = {}
        self._jumps = Jumps(clock_us, monotonic_s)
        self._ticked_s = monotonic_s()
        self.carry_out: Callable[[RolloutPlan, str], object] = partial(acts.fire, automatic=True)

    @property
    def armed(self) -> tuple[Statement, ...]:
        """Those under watch here, oldest first."""
        return tuple(armed.request for armed in self._armed.values())

    def waiting_for(self, request_id: str) -> tuple[str, ...]:
        """What an armed request still waits for, in words, as of the last second."""
        return self._waiting.get(request_id, ())

    def begin(self) -> None:
        """Withdraw what a process before this one was asked for: only a person takes that up again. For the owner of the data directory."""
        for request in requests(tuple(self._words.decisions.made_here.values()), self._clock_us()):
            if request.id not in self._armed:
                self._tell(request, "the window that watched it was closed")
                self._withdraw_left(request, _SIGN_S)

    def _withdraw_left(self, request: Statement, patience_s: float) -> None:
        """Signed where the request was, so that others do not go on counting with it; unsigned where that stays impossible."""
        kept = any("SignedWords" in c.ports and request.service in c.services for c in self._connections.all)
        if request.signer and not kept and patience_s > 0:
            self._left[request.id] = self._main.call_later(TICK_S, lambda: self._withdraw_left(request, patience_s - TICK_S))
        else:
            self._withdraw(request, "the window that watched it was closed")

    def arm(self, statement: Statement) -> None:
        """Watch a request from now on; other words are none of its business."""
        if statement.kind != "request":
            return
        at = (statement.service, statement.environment)
        for armed in [a for a in self._armed.values() if (a.request.service, a.request.environment) == at]:
            self._disarm(armed.request, f"{statement.version} was asked for instead")
        self._armed[statement.id] = _Armed(statement, self._live(statement))
        if self._cancel is None:
            self._jumps = Jumps(self._clock_us, self._monotonic_s)
            self._ticked_s = self._monotonic_s()
            self._cancel = self._main.call_later(TICK_S, self._tick)

    def close(self) -> None:
        """Watch nothing any more; what was armed is withdrawn by the next `begin`."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
        for cancel in self._left.values():
            cancel()
        self._armed.clear()

    def _tick(self) -> None:
        self._cancel = None
        gone = self._absent()
        for armed in list(self._armed.values()):
            why = gone or self._against(armed)
            if why:
                self._disarm(armed.request, why)
            else:
                self._try(armed.request)
        if self._armed:
            self._cancel = self._main.call_later(TICK_S, self._tick)

    def _absent(self) -> str:
        """Why this window cannot have seen everything since the last second; "" where it can."""
        now_s, before_s = self._monotonic_s(), self._ticked_s
        self._ticked_s = now_s
        if self._jumps.jumped():
            return "the clock jumped, or the machine slept"
        return f"the window stood still for {now_s - before_s:.0f} s" if now_s - before_s > STILL_S else ""

    def _against(self, armed: _Armed) -> str:
        """What ends a request, whatever else is so; "" where it goes on waiting."""
        request, state, now = armed.request, self._store.state, self._clock_us()
        if now >= request.until_us:
            return "its end came"
        if not any(s.id == request.id for s in requests(state.statements, now)):
            kept = next((s for s in state.statements if s.id == request.id), None)
            return f"it counts for nothing: {kept.why_not}" if kept is not None and kept.why_not else "it was withdrawn"
        doubt = self._doubt(request, now)
        if doubt:
            return doubt
        version = status.version_of(state, request.service, request.version)
        if version is None or version.commit != request.commit:
            return f"{request.version} is not the commit any more that was asked for"
        if version.digest != request.digest:
            return f"{request.version} is not the artifact any more that was asked for"
        live = self._live(request)
        if armed.live and live and live != armed.live:
            return "another version came to run there"
        return self._rejection(request, version, now)

    def _doubt(self, request: Statement, now_us: int) -> str:
        for connected in self._connections.all:
            if request.service in connected.services and any(port in _NEEDED for port in connected.ports):
                health = self._store.state.sources.get(connected.id)
                how = health.state(now_us) if health is not None else "pending"
                if how in _DOUBTFUL:
                    return f"{connected.title} is {how}: what it says is not known"
        lock = self._store.state.locks.get(request.environment)
        if lock is not None and lock.stale(now_us) and self._words.rules.locks.get(request.environment, "auto") != "never":
            return f"who holds the lock of {request.environment} is not known any more"
        problem = self._words.decisions.problem
        return f"not everything that was said is known: {problem}" if problem else ""

    def _rejection(self, request: Statement, version: Version, now_us: int) -> str:
        rule = status.approval_rule(self._store.state, request.environment, self._words.rules)
        votes = decide(self._store.state.approvals, version, request.environment, rule, None, now_us=now_us).votes
        said = next((v.approval for v in votes if v.counts and not v.approval.approved), None)
        return f"rejected by {said.name}: {said.comment or 'no reason given'}" if said is not None else ""

    def _live(self, request: Statement) -> str:
        fleet = self._store.state.fleets.get(place(request.service, request.environment))
        live = fleet.value.live if fleet is not None else None
        return live.digest if live is not None else ""

    def _try(self, request: Statement) -> None:
        planned = self._acts.plan("deploy", request.service, request.environment, request.version, automatic=True)
        if isinstance(planned, Refusal):
            self._waiting[request.id] = tuple(reason.text for reason in planned.reasons)
        elif planned.insists:
            self._waiting[request.id] = planned.insists
        elif (planned.target.commit, planned.target.digest) != (request.commit, request.digest):
            self._disarm(request, f"{request.version} is not the artifact any more that was asked for")
        else:
            self._fire(request, planned)

    def _fire(self, request: Statement, planned: RolloutPlan) -> None:
        # first of all it is armed no more: whatever happens next, it does not happen twice
        self._forget(request)
        why = f": {request.reason}" if request.reason else ""
        try:
            self.carry_out(planned, f"requested by {request.name} <{request.who}>{why}")
        except CockpitError as error:
            self._tell(request, error.message)
            self._withdraw(request, error.message)
            return
        where = f"{request.service} {request.version} goes to {request.environment}"
        self._notices.tell(Severity.OK, where, "It was requested, and nothing speaks against it any more.", place="rollout")
        self._withdraw(request, "carried out")

    def _disarm(self, request: Statement, why: str) -> None:
        over = request.until_us <= self._clock_us() or any(
            s.kind == "withdraw" and s.about == request.id for s in self._store.state.statements
        )
        self._forget(request)
        self._tell(request, why)
        if not over:
            self._withdraw(request, why)

    def _forget(self, request: Statement) -> None:
        self._armed.pop(request.id, None)
        self._waiting.pop(request.id, None)

    def _withdraw(self, request: Statement, why: str) -> None:
        try:
            self._words.withdraw(request, why)
        except CockpitError as error:
            self._notices.error(error, place="approvals")

    def _tell(self, request: Statement, why: str) -> None:
        what = f"{request.service} {request.version} is not deployed to {request.environment} by itself any more"
        hint = "Look at its card; ask for it again if it should still go."
        self._notices.tell(Severity.WARNING, what, f"{why[:1].upper()}{why[1:].rstrip('.')}.", hint=hint, place="approvals")
