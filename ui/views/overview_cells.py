"""What one cell of the overview says, read from the state. Pure but for the small cache of pending counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from cockpit.domain.facts import place
from cockpit.domain.statements import debts, holds
from cockpit.services import status
from cockpit.services.store import AppState
from ui.models.text import age_text, ms_text, plain, plural

if TYPE_CHECKING:
    from cockpit.app import Cockpit

TREND_US = 10 * 60 * 1_000_000
LOUD = ("mixed", "bad")
NAME_PX, CELL_PX, MIN_PX = 28, 114, 132  # heights of a service's name and of its cells, least width of a cell


class Cell(Struct, frozen=True):
    """One service in one environment. `state` is a state's word, `words` what stands beside its shape; `loud` cells are filled.

    `watch` is the state's word of the watch over its deployment, "" = none; `alerts` fire there, `critical` of them call a person;
    `alerts_late`: what fires now is not known.
    """

    service: str
    environment: str
    version: str
    state: str
    words: str
    loud: bool = False
    stale: bool = False
    age: str = ""
    as_of_us: int = 0
    pending: int | None = 0  # None: not known
    held: tuple[str, ...] = ()
    owed: int = 0
    odd: str = ""
    p99: str = ""
    trend: tuple[float, ...] = ()
    limit_ms: float | None = None
    watch: str = ""
    watch_words: str = ""
    watch_loud: bool = False
    watch_why: str = ""
    alerts: int = 0
    critical: int = 0
    alerts_late: bool = False

    @property
    def pending_words(self) -> str:
        """How many versions wait."""
        if self.pending is None:
            return "pending not known"
        return f"{self.pending} pending" if self.pending else "nothing pending"

    @property
    def sentence(self) -> str:
        """The cell for a screen reader."""
        parts = [f"{self.service} in {self.environment}" if self.environment else self.service, f"version {self.version}", self.words]
        if self.pending != 0:
            parts.append("pending versions not known" if self.pending is None else plural(self.pending, "pending version"))
        parts += [plural(self.owed, "review") + " owed"] if self.owed else []
        parts += [f"{', '.join(self.held)} held"] if self.held else []
        if self.watch:
            same = self.watch_words == self.watch
            parts.append(f"watch: {self.watch_words}" if same else f"watch: {self.watch}, {self.watch_words}")
            parts += [self.watch_why] if self.watch_why else []
        if self.alerts:
            parts.append(f"{plural(self.alerts, 'alert')} firing" + (f", {self.critical} critical" if self.critical else ""))
        parts += ["what alerts fire now is not known"] if self.alerts_late else []
        if self.p99:
            parts.append(f"p99 {self.p99}")
        parts.append(f"{'stale, ' if self.stale else ''}{self.age} old" if self.age else "never seen")
        return ", ".join(parts)


class Cells:
    """Reads cells; counts again only what is another one: pending versions, what is held and what is owed."""

    def __init__(self, cockpit: Cockpit) -> None:
        self._cockpit = cockpit
        self._said: tuple[object, dict[str, tuple[tuple[str, ...], int]]] = (None, {})
        self._firing: tuple[object, dict[tuple[str, str], tuple[int, int]]] = (None, {})
        self._counts: dict[tuple[str, str], tuple[object, object, str | None, int]] = {}

    def read(self, service: str, environment: str) -> Cell:
        """The cell as of now."""
        state, now_us = self._cockpit.store.state, self._cockpit.clock_us()
        at = place(service, environment)
        fleet, latency = state.fleets.get(at), state.latency.get(at)
        live = status.live_name(state, service, environment)
        seen = status.condition(state, service, environment, now_us)
        held, owed = self._statements(state).get(at, ((), 0))
        watch, watch_words, watch_loud, watch_why = self._watch(state, at, now_us)
        alerts, critical = self._alerts(state, service, environment)
        return Cell(
            service=service,
            environment=environment,
            version=plain(live or "") or ("none" if live == "" else "not known"),
            state=seen.word,
            words=plain(seen.words.removeprefix("stale: ")),
            loud=seen.word in LOUD,
            stale=seen.word == "stale",
            age=age_text(fleet.age_s(now_us)) if fleet else "",
            as_of_us=fleet.at_us if fleet else 0,
            pending=self._pending(state, service, environment, live),
            held=held,
            owed=owed,
            odd=self._odd(state, service, environment) if seen.word == "mixed" else "",
            p99=ms_text(latency.value.point.p99_ms) if latency and latency.value.point.p99_ms and not latency.stale(now_us) else "",
            # until the cockpit is whole there is nothing to draw: samples are read after the first paint
            trend=self._trend(at, now_us) if latency and self._cockpit.whole else (),
            limit_ms=latency.value.band.high_ms if latency and latency.value.band else None,
            watch=watch,
            watch_words=watch_words,
            watch_loud=watch_loud,
            watch_why=watch_why,
            alerts=alerts,
            critical=critical,
            alerts_late=any(fact.stale(now_us) for fact in state.alerts.values()),
        )

    @staticmethod
    def _watch(state: AppState, at: str, now_us: int) -> tuple[str, str, bool, str]:
        """State's word, words, loud, why. The first paint has no watch, and does without their words."""
        if at not in state.watches:
            return "", "", False, ""
        from ui.models.watch import cell_words, idle

        watched = state.watches[at]
        said = cell_words(watched, now_us, idle(watched, state.latency.get(at), now_us))
        return (said.word, said.text, said.loud, said.why) if said is not None else ("", "", False, "")

    def _alerts(self, state: AppState, service: str, environment: str) -> tuple[int, int]:
        """How many fire there, and how many of them are critical; sorted by place once, not for each cell."""
        if self._firing[0] is not state.alerts:
            found: dict[tuple[str, str], tuple[int, int]] = {}
            for alert in (a for fact in state.alerts.values() for a in fact.value if a.fires and (a.service or a.environment)):
                count, critical = found.get(key := (alert.service, alert.environment), (0, 0))
                found[key] = count + 1, critical + alert.critical
            self._firing = (state.alerts, found)
        # one that names only a service, or only an environment, speaks of all of them
        hits = [self._firing[1].get(key, (0, 0)) for key in {(service, environment), (service, ""), ("", environment)} - {("", "")}]
        return sum(h[0] for h in hits), sum(h[1] for h in hits)

    def _pending(self, state: AppState, service: str, environment: str, live: str | None) -> int | None:
        versions, built = state.versions.get(service), state.artifacts.get(service)
        if versions is None or live is None:
            return None
        known = self._counts.get((service, environment))
        now = (versions.value if versions else None, built.value if built else None, live)
        if known is not None and known[0] is now[0] and known[1] is now[1] and known[2] == now[2]:
            return known[3]
        count = len(status.pending_versions(state, service, environment))
        self._counts[(service, environment)] = (*now, count)
        return count

    def _statements(self, state: AppState) -> dict[str, tuple[tuple[str, ...], int]]:
        """Held versions and reviews owed, by place."""
        if self._said[0] is not state.statements:
            found: dict[str, tuple[tuple[str, ...], int]] = {}
            for hold in holds(state.statements):
                held, owed = found.get(at := place(hold.service, hold.environment), ((), 0))
                found[at] = ((*held, plain(hold.version, 40)), owed)
            for debt in debts(state.statements):
                held, owed = found.get(at := place(debt.service, debt.environment), ((), 0))
                found[at] = (held, owed + 1)
            self._said = (state.statements, found)
        return self._said[1]

    @staticmethod
    def _odd(state: AppState, service: str, environment: str) -> str:
        """Which nodes are not as the others, and how."""
        found = status.fingerprint_of(state, service, environment)
        return plain(found.words, 500) if found is not None else ""

    def _trend(self, at: str, now_us: int) -> tuple[float, ...]:
        found: tuple[float, ...] = self._cockpit.latency.trend(at, now_us - TREND_US, now_us)
        return found
