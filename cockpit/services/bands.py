"""Watches each place's p99 against the band of the version before, and says when it leaves and when it is back."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from cockpit.domain.facts import Fact, place
from cockpit.domain.metrics import Band, band, outside
from cockpit.domain.rollout import Action, ActionState, Line, LineState
from cockpit.domain.watching import under_watch
from cockpit.services.digest import BACK_US
from cockpit.services.latency import LatencyBook, baseline_window
from cockpit.services.notices import Notices, Severity
from cockpit.services.store import LatencyStatus, Store

RECENT_S = 12.0  # how long the newest points are looked at together
OWN_PAST_S = 600.0  # without a baseline's points, the place's own past serves
OWN_EVERY_S = 30.0  # and is looked at anew so often: a band that moves with each point is painted anew with each
LATENCY_PLACE = "latency"
UNSEEN_READS = 5  # a node that is just starting may answer with half a page
_LOSSES = {
    "volatility": "A wild market is told from a calm one by the number of requests alone.",
    "invariants": "A broken invariant would not be seen: no watch there ends as fine.",
}


class Bands:
    """Main thread only. `note` writes a line about an action into the journal."""

    def __init__(
        self, store: Store, book: LatencyBook, notices: Notices, clock_us: Callable[[], int], note: Callable[[Action, str], None]
    ) -> None:
        self._store = store
        self._book = book
        self._notices = notices
        self._clock_us = clock_us
        self._note = note
        self._own: dict[str, tuple[int, Band | None]] = {}  # the own past of places, and when it was looked at

    def look(self, source: str, deadline_s: float, *places: tuple[str, str]) -> None:
        """Judge these, each a service in an environment, or every place, where a newer point came in."""
        state = self._store.state
        statuses = {}
        for service, environment in places or [(s.name, e.name) for s in state.services for e in state.environments]:
            at = place(service, environment)
            newest = self._book.last(at)
            if newest is None:
                continue
            known = state.latency.get(at)
            if known is not None and newest.at_us <= known.value.point.at_us <= self._clock_us() + BACK_US:
                continue
            status = LatencyStatus(newest, self.band(at), None)
            recent = self._book.p99(at, newest.at_us - int(RECENT_S * 1e6), newest.at_us)
            status = replace(status, outside=outside(status.band, recent))
            statuses[at] = Fact(status, newest.at_us, source, deadline_s)
            self._say(at, known.value if known else None, status)
            self._prove(service, environment, status)
        self._store.merge("latency", statuses)

    def band(self, at: str) -> Band | None:
        """The band of the version before the newest deploy; of the place's own past where that was not seen."""
        known = self._store.state.deployments.get(at)
        window = baseline_window(known.value) if known else None
        if window is not None:
            found = band(self._book.p99(at, window[0], window[1]), window[2])
            if found is not None:
                return found
            kept = self._store.state.latency.get(at)
            if kept is not None and kept.value.band is not None and kept.value.band.version == window[2]:
                return kept.value.band
        return self._own_past(at)

    def _own_past(self, at: str) -> Band | None:
        now = self._clock_us()
        looked_us, found = self._own.get(at, (0, None))
        if found is None or not 0 <= now - looked_us < OWN_EVERY_S * 1e6:
            found = band(self._book.p99(at, now - int(OWN_PAST_S * 1e6), now - int(RECENT_S * 1e6)))
            self._own[at] = (now, found)
        return found

    def _say(self, at: str, before: LatencyStatus | None, now: LatencyStatus) -> None:
        if now.outside is None or now.band is None or (before is not None and before.outside == now.outside):
            return
        if not now.band.version:
            # against its own past alone a busy hour looks like a fault: the overview shows it, nobody is called
            return
        service, _, environment = at.partition("@")
        key = f"latency:{at}"
        if now.outside and under_watch(self._store.state.watches, at) is not None:
            return  # the watch tells it
        if now.outside:
            seen = f"{now.point.p99_ms:.1f} ms" if now.point.p99_ms is not None else "not known"
            self._notices.tell(
                Severity.ERROR,
                f"p99 of {service} in {environment} left its band",
                f"{seen} against at most {now.band.high_ms:.1f} ms before.",
                hint="The rollback card is ready: Shift+R arms it.",
                key=key,
                place=LATENCY_PLACE,
            )
        else:
            self._notices.over(key, f"p99 of {service} in {environment} is back in its band", f"at most {now.band.high_ms:.1f} ms.")

    def _prove(self, service: str, environment: str, status: LatencyStatus) -> None:
        """Complete the proof of the newest action here once its latency can be said; those before it can no longer be proved."""
        mine = [a for a in self._store.state.actions.values() if (a.service, a.environment) == (service, environment)]
        newest = max(mine, key=lambda a: a.intended_at_us, default=None)
        for action in mine:
            waits = any(line.place == LATENCY_PLACE and line.state is LineState.UNKNOWN for line in action.proof)
            if not waits or action.state is not ActionState.DONE:
                continue
            if action is not newest:
                self._complete(action, Line(LineState.WARNING, "latency: another action came before enough was seen", 0, LATENCY_PLACE))
                continue
            p99, band = status.point.p99_ms, status.band
            early = status.point.at_us < action.ended_at_us + RECENT_S * 1e6 / 2
            if status.outside is not False or band is None or p99 is None or p99 > band.high_ms or early:
                continue
            seconds = (status.point.at_us - action.intended_at_us) / 1e6
            words = f"p99 {p99:.1f} ms is within its band (at most {band.high_ms:.1f} ms), {seconds:.0f} s after the click"
            self._complete(action, Line(LineState.OK, words, status.point.at_us, LATENCY_PLACE))
            self._note(action, words)

    def _complete(self, action: Action, line: Line) -> None:
        proof = tuple(line if old.place == LATENCY_PLACE else old for old in action.proof)
        self._store.merge("actions", {action.key: replace(action, proof=proof)})

    def silence(self, nodes: tuple[str, ...], total: int) -> None:
        """Say which nodes' latency is missing from what is shown; none: say that it is over."""
        if not nodes:
            self._notices.over("silent-nodes", "All nodes tell their latency again")
            return
        self._notices.tell(
            Severity.WARNING,
            f"{len(nodes)} of {total} nodes do not tell their latency",
            f"Missing from every figure: {', '.join(nodes[:8])}.",
            hint="Look at the nodes in the overview; the others are shown as usual.",
            key="silent-nodes",
            place=LATENCY_PLACE,
        )

    def unseen(self, source: str, absent: dict[str, str]) -> None:
        """Say which metrics a connection names that no node has, by what they are for; what is not among them is over."""
        for what, loss in _LOSSES.items():
            key = f"unseen-{what}/{source}"
            if what not in absent:
                self._notices.over(key, f"The nodes tell what `{what}` of the connection {source} names")
                continue
            self._notices.tell(
                Severity.WARNING,
                f"No node has the metric {absent[what]}",
                f"The connection {source} names it as `{what}`, and it was on no node in {UNSEEN_READS} readings. {loss}",
                hint=f"Correct `{what}` under [connections.{source}], or let the service tell that metric from its start, at zero.",
                key=key,
                place=LATENCY_PLACE,
            )
