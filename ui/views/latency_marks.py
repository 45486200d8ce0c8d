"""What happened at a place and how the venue's day is divided there, for the time charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cockpit.domain.calendar import DAY_US
from cockpit.domain.sessions import Session, sessions
from cockpit.services.alerts import alerts_at
from cockpit.services.calendars import freezes_between
from ui.models.text import duration_text, plain
from ui.widgets.chart_marks import Mark, Span

if TYPE_CHECKING:
    from cockpit.app import Cockpit
    from cockpit.domain.calendar import Freeze
    from cockpit.services.store import AppState

BACK_DAYS, AHEAD_DAYS = 9, 2  # in which the sessions around now are looked for: last week's Friday is among them
LONGEST_US = 2 * DAY_US  # a window longer than this shows freezes alone
_STEP_US = 600_000_000
_KEPT = 32


def marks_at(state: AppState, service: str, environment: str, now_us: int, set_back: Sequence[tuple[int, float]] = ()) -> tuple[Mark, ...]:
    """Deployments, rollbacks, words on versions and alerts of a place, and when the clock was set back by how many seconds."""
    known = state.deployments.get(f"{service}@{environment}")
    marks = []
    for d in known.value if known is not None else ():
        if d.started_at_us:
            end = "" if d.state == "succeeded" else f" {d.state}"
            marks.append(Mark(d.started_at_us, d.kind, f"{d.kind} {plain(d.version, 40)}{end}"))
    reviews = state.reviews.get(service)
    for a in (*state.approvals, *(reviews.value if reviews is not None else ())):
        if a.service == service and a.environment in ("", environment) and a.at_us and not a.why_not:
            kind = "approval" if a.approved else "rejection"
            marks.append(Mark(a.at_us, kind, f"{kind} {plain(a.version, 40)} by {plain(a.name or a.who, 40)}"))
    firing = alerts_at(state, service, environment, now_us).firing
    clock = (Mark(at_us, "clock", f"clock set back by {duration_text(by_s)}") for at_us, by_s in set_back)
    return (*marks, *(Mark(a.since_us, "alert", plain(a.name, 40)) for a in firing if a.since_us), *clock)


class Venue:
    """Freezes and sessions of an environment; asked each second, read anew when something changed or ten minutes have passed."""

    def __init__(self, cockpit: Cockpit) -> None:
        self._cockpit: Any = cockpit
        self._known: dict[tuple[str, int, int], tuple[Freeze, ...]] = {}
        self._divided: dict[tuple[str, int, int], tuple[Session, ...]] = {}
        self._inputs: tuple[object, ...] = ()

    def freezes(self, environment: str, start_us: int, end_us: int) -> tuple[Freeze, ...]:
        """Those that touch this time, and some around it."""
        core, state = self._cockpit, self._cockpit.store.state
        configured = getattr(getattr(core, "calendars", None), "configured", {})
        inputs = (state.freezes, core.rules, configured)
        if (
            len(inputs) != len(self._inputs)
            or any(a is not b for a, b in zip(inputs, self._inputs, strict=True))
            or len(self._known) > _KEPT
        ):
            self._known, self._divided, self._inputs = {}, {}, inputs
        key = _key(environment, start_us, end_us)
        if key not in self._known:
            self._known[key] = freezes_between(state, core.rules, environment, key[1] * _STEP_US, key[2] * _STEP_US, configured)
        return self._known[key]

    def sessions(self, environment: str, now_us: int) -> tuple[Session, ...]:
        """The sessions of the days around now."""
        return self._sessions(environment, now_us - BACK_DAYS * DAY_US, now_us + AHEAD_DAYS * DAY_US)

    def _sessions(self, environment: str, start_us: int, end_us: int) -> tuple[Session, ...]:
        found, key = self.freezes(environment, start_us, end_us), _key(environment, start_us, end_us)
        if key not in self._divided:
            self._divided[key] = sessions(found, environment)
        return self._divided[key]

    def spans(self, environment: str, start_us: int, end_us: int) -> tuple[Span, ...]:
        """What a chart of this time shows: freezes, and in windows up to two days where the sessions between them begin."""
        found = self.freezes(environment, start_us, end_us)
        spans = [Span(f.start_us, f.end_us, "freeze", f.name) for f in found]
        if end_us - start_us <= LONGEST_US:
            day = self._sessions(environment, start_us - DAY_US, end_us + DAY_US)
            between = (s for s in day if not s.named and s.start_us < end_us and s.end_us > start_us)
            spans += [Span(s.start_us, s.end_us, "session", s.name) for s in between]
        return tuple(sorted(spans, key=lambda s: (s.start_us, s.kind)))


def _key(environment: str, start_us: int, end_us: int) -> tuple[str, int, int]:
    return environment, start_us // _STEP_US, -(-end_us // _STEP_US)
