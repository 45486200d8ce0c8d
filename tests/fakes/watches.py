"""Watches over made-up deployments, and who stops their countdown."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cockpit.domain.errors import NotAllowed
from cockpit.domain.facts import place
from cockpit.domain.judge import NO_WORSE, UNSURE, WORSE, Verdict
from cockpit.domain.watching import Countdown, Finding, Watched, WatchState
from tests.fakes.believable import MIN, NOW_US, S

WHY = "p99 of place_order is 2.4 x baseline, 95 % interval 1.9 to 3.1, after 7 min"
LOOKING = "cannot yet see less than +15 % in place_order; +25 % in about 4 min"

SLOW = Verdict(WORSE, WHY, NOW_US - S, 420.0, "place_order", "p99", 2.4, 1.9, 3.1, since_us=NOW_US - 40 * S)
UNSEEN = Verdict(UNSURE, LOOKING, NOW_US - S, 240.0, "place_order", smallest=1.15, visible_in_s=240.0)
GOOD = Verdict(NO_WORSE, "at most 1.08 x baseline in every operation (limit 1.25 x), after 15 min", NOW_US, 900.0, "", "", 1.02, 0.97, 1.08)


def watched(**fields: Any) -> Watched:
    """A watch over order-gateway 1.7.0 in production, four minutes old and looking."""
    made = Watched(
        "order-gateway", "production", "d-000017", "deploy", "1.7.0", "1.6.0", NOW_US - 4 * MIN, NOW_US - 3 * MIN,
        until_us=NOW_US + 11 * MIN, requests=812.0, wanted=2000, looked_us=NOW_US - S, verdict=UNSEEN, automatic=True,
    )  # fmt: skip
    return replace(made, **fields)


def bad(**fields: Any) -> Watched:
    """One that found something, and says why it does nothing."""
    findings = (
        Finding("verdict", WHY, NOW_US - 40 * S),
        Finding("alert", "HighErrorRate: 5xx ratio is 1.2 % over five minutes, the objective allows 0.1 %", NOW_US - 2 * MIN),
        Finding("drift", "production-4 runs 1.6.0, the others 1.7.0", NOW_US - 3 * MIN),
    )
    return replace(watched(state=WatchState.BAD, verdict=SLOW, findings=findings, requests=1640.0), **fields)


def counting(left_s: float = 23.0, **fields: Any) -> Watched:
    """One that goes back by itself in so many seconds."""
    end_us = NOW_US + round(left_s * S)
    return replace(bad(countdown=Countdown("1.6.0", "ab" * 32, end_us - 30 * S, end_us, WHY)), **fields)


class FakeWatch:
    """Watch: stops what counts down, with who did it; `refuse` says why not."""

    def __init__(self, cockpit: Any) -> None:
        self.cockpit = cockpit
        self.refuse = ""
        self.late = ""  # refused by stop alone: what changed between question and press
        self.calls: list[tuple[str, ...]] = []

    def why_not_stop(self, service: str, environment: str) -> str:
        found = self.cockpit.store.state.watches.get(place(service, environment))
        if found is None or found.countdown is None:
            return "nothing is counted down there"
        return self.refuse

    def stop(self, service: str, environment: str, reason: str = "") -> None:
        self.calls.append((service, environment, reason))
        why = self.why_not_stop(service, environment) or self.late
        if why:
            raise NotAllowed(why, hint="Nothing was stopped.")
        at = place(service, environment)
        found = self.cockpit.store.state.watches[at]
        self.cockpit.store.merge("watches", {at: replace(found, countdown=None, stopped_by="You <you@playground.invalid>")})


def put(cockpit: Any, *watches: Watched) -> None:
    """Show these to a made-up cockpit."""
    if not hasattr(cockpit, "watch"):
        cockpit.watch = FakeWatch(cockpit)
    cockpit.store.merge("watches", {place(w.service, w.environment): w for w in watches})
