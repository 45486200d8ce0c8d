"""The watch over one deployment: what speaks for and against it, how long it is watched, and what is about to be done by itself.

There is one watch a place: the newest deployment's. It is over when its time has passed and real load was seen, when another deployment
began, or when what it found was acted on.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from cockpit.domain.judge import Verdict


class WatchState(StrEnum):
    """What one reads at a glance; the worst of what speaks counts."""

    WATCHING = "watching"
    FINE = "fine"
    BAD = "bad"
    BLIND = "cannot tell"
    STOPPED = "ended early"


class Finding(Struct, frozen=True):
    """One thing that speaks against the deployment. `kind`: verdict, rule, alert, drift or silence; `text` is plain and has the numbers."""

    kind: str
    text: str
    since_us: int


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
    and why. `action`: the key of the automatic rollback, once it began.
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
    automatic: bool = False
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
