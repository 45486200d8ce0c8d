"""What the newest deployment of a place is compared with: its baseline's time at the same age, else the time just before it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from cockpit.domain.release import Deployment


class Life(Struct, frozen=True, gc=False):
    """A version's time in a place, microseconds UTC: from its deployment's beginning to the next one's (`end_us` 0: it still runs)."""

    version: str
    start_us: int
    end_us: int = 0


class Pair(Struct, frozen=True, gc=False):
    """Candidate and baseline. `baseline` None: it is not known when that version came; `from_version` names it ("" = nothing ran)."""

    candidate: Life
    from_version: str
    baseline: Life | None = None

    @property
    def apart_us(self) -> int:
        """What lies between two moments of equal age; 0 where the baseline's beginning is not known."""
        return self.candidate.start_us - self.baseline.start_us if self.baseline is not None else 0

    def ages(self, start_us: int, end_us: int) -> tuple[tuple[int, int], tuple[int, int] | None]:
        """A window of the candidate and the one of equal age of its baseline, both within their lives; None where it has none there."""
        first, last = max(start_us, self.candidate.start_us), min(end_us, self.candidate.end_us or end_us)
        mine = (first, max(first, last))
        if self.baseline is None:
            return mine, None
        other = (mine[0] - self.apart_us, mine[1] - self.apart_us)
        until = self.baseline.end_us or self.candidate.start_us
        return mine, (other[0], min(other[1], until)) if other[0] < until else None


def pair_of(history: Sequence[Deployment]) -> Pair | None:
    """The newest deployment that changed a version, and when its baseline came; None where there was none.

    A rollback is compared with what it undoes: that is the version before it, in its own time. A deployment that ended without success
    replaced nothing for good, but its nodes were changed: the life before it ends where it began.
    """
    every = sorted((d for d in history if d.started_at_us), key=lambda d: d.started_at_us)
    changed = [d for d in every if d.version != d.from_version]
    if not changed:
        return None
    newest = changed[-1]
    candidate = Life(newest.version, newest.started_at_us)
    earlier = [d for d in changed if d.version == newest.from_version and d.started_at_us < newest.started_at_us and d.state == "succeeded"]
    if not newest.from_version or not earlier:
        return Pair(candidate, newest.from_version)
    came = earlier[-1]
    left = next(d.started_at_us for d in changed if d.started_at_us > came.started_at_us)
    return Pair(candidate, newest.from_version, Life(came.version, came.started_at_us, left))
