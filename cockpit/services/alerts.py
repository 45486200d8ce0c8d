"""Alerts of the systems that watch: read by place, and told where they begin around an action."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from cockpit.domain.alerts import Alert
from cockpit.domain.facts import Fact, place
from cockpit.domain.rollout import Action
from cockpit.domain.watching import under_watch
from cockpit.services.notices import Notices, Severity
from cockpit.services.store import AppState, Change, Store

if TYPE_CHECKING:
    from cockpit.services.connections import Connected

RECENT_S = 600.0  # so long after an action an alert may still come of it
SKEW_S = 5.0  # between the clocks of two machines
NAMED = 6  # alerts that a notice names


class AtPlace(Struct, frozen=True):
    """What is known of a place's alerts.

    `firing`: those that nothing suppresses, the critical and then the newest first; `quiet`: the suppressed ones. `late` names the
    connections whose word is too old or never came: while there are any, nobody can say that nothing fires.
    """

    firing: tuple[Alert, ...] = ()
    quiet: tuple[Alert, ...] = ()
    late: tuple[str, ...] = ()
    asked: bool = False
    oldest_us: int = 0

    @property
    def critical(self) -> int:
        """How many call a person."""
        return sum(alert.critical for alert in self.firing)


def alerts_at(state: AppState, service: str, environment: str, now_us: int) -> AtPlace:
    """The alerts of that place, from all connections."""
    found: dict[str, Alert] = {}
    for source_id, fact in state.alerts.items():
        found |= {f"{source_id}/{a.id}": a for a in fact.value if a.concerns(service, environment)}
    ordered = sorted(found.values(), key=lambda a: (not a.critical, -a.since_us, a.name, a.id))
    return AtPlace(
        firing=tuple(a for a in ordered if a.fires),
        quiet=tuple(a for a in ordered if not a.fires),
        late=tuple(fact.source for fact in state.alerts.values() if fact.stale(now_us)),
        asked=bool(state.alerts),
        oldest_us=min((fact.at_us for fact in state.alerts.values()), default=0),
    )


def asked_of(connected: tuple[Connected, ...], state: AppState) -> dict[str, Fact[tuple[Alert, ...]]]:
    """`state.alerts` for these connections: what is known stays; one that never answered stands there as never seen."""
    mine = [c for c in connected if "AlertsApi" in c.ports]
    return {c.id: state.alerts.get(c.id) or Fact((), 0, c.title) for c in mine}


class AlertWatch:
    """One notice a place for the critical alerts that begin during an action or soon after it; it grows, and is over when they clear.

    Main thread only. `close` ends its listening to the store.
    """

    def __init__(self, store: Store, notices: Notices, clock_us: Callable[[], int]) -> None:
        self._store = store
        self._notices = notices
        self._clock_us = clock_us
        self._told: dict[tuple[str, str], dict[str, str]] = {}  # by place: name by id
        self.close = store.subscribe(self._changed)

    def _changed(self, change: Change) -> None:
        if not change.touches("alerts"):
            return
        around: dict[tuple[str, str], Action] = {}
        for action in self._around():
            at = (action.service, action.environment)
            first = around.get(at)
            around[at] = action if first is None or action.intended_at_us < first.intended_at_us else first
        for at, action in around.items():
            self._look(at, action)
        for at in [at for at in self._told if at not in around]:
            self._look(at, None)

    def _around(self) -> list[Action]:
        """Those under way, and those that ended a moment ago."""
        since_us = self._clock_us() - RECENT_S * 1e6
        return [a for a in self._store.state.actions.values() if not a.state.final or a.ended_at_us >= since_us]

    def _look(self, at: tuple[str, str], action: Action | None) -> None:
        now = {a.id: a for a in alerts_at(self._store.state, *at, self._clock_us()).firing}
        told = self._told.get(at, {})
        new = {}
        if action is not None:
            since_us = action.intended_at_us - SKEW_S * 1e6
            new = {i: a for i, a in now.items() if a.critical and a.since_us >= since_us and i not in told}
        still = [a for i, a in now.items() if i in told or i in new]
        if new and action is not None:
            self._told[at] = {**told, **{i: a.name for i, a in new.items()}}
            if under_watch(self._store.state.watches, place(*at)) is None or self._notices.told(_key(at)):
                # else the watch over the deployment tells them
                self._tell(at, action, still)
        elif told and not still:
            del self._told[at]
            service, environment = at
            names = ", ".join(sorted(set(told.values())))
            self._notices.over(_key(at), f"Alerts of {service} in {environment} cleared", names)

    def _tell(self, at: tuple[str, str], action: Action, alerts: list[Alert]) -> None:
        service, environment = at
        names = sorted({a.name for a in alerts})
        what = f"Alert {names[0]} fires" if len(names) == 1 else f"{len(names)} alerts fire"
        more = f"; and {len(alerts) - NAMED} more" if len(alerts) > NAMED else ""
        self._notices.tell(
            Severity.ERROR,
            f"{what} for {service} in {environment}",
            "; ".join(f"{a.name}: {a.summary}" for a in alerts[:NAMED]) + more + f". Since the {action.kind} of {action.version}.",
            hint="Look at Alerts; the rollback card is ready: Shift+R arms it.",
            key=_key(at),
            place="alerts",
        )


def _key(at: tuple[str, str]) -> str:
    return f"alerts:{place(*at)}"
