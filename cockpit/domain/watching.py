"""The watch over one deployment: what speaks for and against it, how long it is watched, and what is about to be done by itself.

There is one watch a place: the newest deployment's. It is over when its time has passed and real load was seen, when another deployment
began, or when what it found was acted on.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cockpit.domain.judge import Verdict
    from cockpit.domain.release import Fleet

AUTOMATIC = "automatic: "  # begins the reason of whatever no person clicked
MOST_WORDS = 1_000  # characters of a reason, a note, an announcement
MOST_EACH = 300  # of one finding: several of them make a reason
TRIGGERS = ("verdict", "alerts", "drift")  # what an automatic rollback may follow from


class WatchState(StrEnum):
    """What one reads at a glance; the worst of what speaks counts."""

    WATCHING = "watching"
    FINE = "fine"
    BAD = "bad"
    BLIND = "cannot tell"
    STOPPED = "ended early"


class Finding(Struct, frozen=True):
    """One thing that speaks against the deployment, or, of the kinds silence and band, that keeps anybody from telling.

    `kind`: verdict, rule, alert, drift, silence or band; `text` is plain and has the numbers. `until_us`: when it had passed (0 = it
    stands).
    """

    kind: str
    text: str
    since_us: int
    until_us: int = 0


class Countdown(Struct, frozen=True):
    """An automatic rollback that was announced: to `version` at `at_us`, unless a person stops it."""

    version: str
    digest: str
    announced_us: int
    at_us: int
    why: str


class Watched(Struct, frozen=True):
    """One watch, as everybody shows it. Times in microseconds UTC, 0 = not yet.

    `deployment`: the id, or the key of a rollout of several deployments. `requests` of the new version were seen of `wanted`;
    `until_us` is the earliest end. `verdict` is a `domain.judge.Verdict` (None: nothing was judged yet). `why_not`: why no automatic
    rollback follows ("" where one may, or where the policy wants none and `automatic` is false). `stopped_by`: who stopped the countdown,
    and why. `action`: the key of the automatic rollback, once it began. `rollback_on`: which of TRIGGERS the policy names. `passed` has
    what was found and stands no more, the newest last.
    """

    service: str
    environment: str
    deployment: str
    kind: str
    version: str
    from_version: str
    started_us: int
    finished_us: int = 0
    state: WatchState = WatchState.WATCHING
    until_us: int = 0
    requests: float = 0.0
    wanted: int = 0
    looked_us: int = 0
    verdict: Any = None
    findings: tuple[Finding, ...] = ()
    passed: tuple[Finding, ...] = ()
    automatic: bool = False
    rollback_on: tuple[str, ...] = ("verdict",)
    countdown: Countdown | None = None
    why_not: str = ""
    stopped_by: str = ""
    action: str = ""
    ended_us: int = 0

    @property
    def over(self) -> bool:
        """Whether nobody looks any more."""
        return self.ended_us > 0

    @property
    def found(self) -> Verdict | None:
        """The verdict with its type."""
        verdict: Verdict | None = self.verdict
        return verdict


class WatchRule(Struct, frozen=True):
    """What the policy wants of the watch over a deployment in an environment.

    It lasts `minutes` and until `requests` of the new version were seen. `limit`: the ratio to the baseline that must not be missed;
    `tolerated`: the one up to which nobody calls it worse;
    `p99_ratio`, `p99_ms` (0 = none) and `error_ratio` are the hard rules. `automatic`: a bad version is rolled back by itself, announced
    `countdown_s` before, on what `rollback_on` names of TRIGGERS; `settle_s` after the deployment's end at the earliest, for failures
    younger than `oldest_failure_minutes`, once in `window_minutes`, and `in_freeze` only where that says so (in a hard one never).
    """

    minutes: float = 15.0
    requests: int = 2000
    automatic: bool = False
    countdown_s: float = 30.0
    limit: float = 1.25
    tolerated: float = 1.02
    p99_ratio: float = 2.0
    p99_ms: float = 0.0
    error_ratio: float = 0.05
    settle_s: float = 60.0
    oldest_failure_minutes: float = 20.0
    window_minutes: float = 60.0
    in_freeze: bool = False
    rollback_on: tuple[str, ...] = ("verdict",)


def brief(words: str, most: int = MOST_WORDS) -> str:
    """On one line, and no longer than that: what a source says is sent on, and systems refuse long reasons."""
    found = " ".join(words.split())
    return found if len(found) <= most else f"{found[: most - 1]}…"


def under_watch(watches: Mapping[str, Any], at: str) -> Watched | None:
    """The watch that is under way in a place; what is told of its alerts and latency is told there."""
    found: Watched | None = watches.get(at)
    return found if found is not None and not found.over else None


def running(fleet: Fleet) -> dict[str, str]:
    """What each node runs: its digest, or, where no node there tells one, "version 1.7.0"; "" where it does not say."""
    if any(n.digest for n in fleet.nodes):
        return {n.name: n.digest for n in fleet.nodes}
    return {n.name: f"version {n.version}" if n.version else "" for n in fleet.nodes}


def named(digest: str, version: str, fleet: Fleet | None) -> str:
    """By what `running` tells that version there; "" where nothing can tell it from others."""
    nodes = fleet.nodes if fleet is not None else ()
    digests = {n.digest for n in nodes if n.digest}
    if digest and (digests or not any(n.version for n in nodes)):
        return digest
    if not digests:
        return f"version {version}" if version else ""
    same = {n.digest for n in nodes if n.digest and version and n.version == version}
    return same.pop() if len(same) == 1 else ""
