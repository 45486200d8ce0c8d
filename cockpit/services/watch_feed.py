"""From scrapes of nodes to what the judge looks at: increments of each node, joined with the version that it ran all that while.

What a node did between two scrapes counts for a version only where the deployment system named that version before and after it, and
where the node's counters did not begin anew: an interval in which a node changed is nobody's.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from statistics import median

from msgspec import Struct

from cockpit.domain.facts import Fact, place
from cockpit.domain.judge import Look
from cockpit.domain.metrics import Histogram, Reading, delta
from cockpit.domain.release import Fleet
from cockpit.domain.watching import running
from cockpit.services.watch_past import KEPT_S, MOST_NODES, Past, Split

SETTLED_S = 1.0  # a deployment system may answer from what it asked its nodes so long ago
LOOK_S = 1.9  # scrapes that come sooner are left out: counters lose nothing, and forty minutes fit in
WARM_S = 10.0  # a process that has just begun fills its caches: neither good nor bad
GAP_S = 60.0  # two scrapes further apart are no interval, a machine may have slept between them
LATE_S = 120.0  # what a store of metrics answers is no older than this
HELD_S = 30.0  # increments wait so long for the deployment system to say what ran
UNSEEN_READS = 5  # a node that is just starting may answer with half a page
OTHER_S = 30.0  # of two sources of the same place's metrics the second one counts once the first was silent so long


class _Node:
    """What is known of one node: its last scrape, and what it runs since when. Times in microseconds, of this machine's clock."""

    def __init__(self) -> None:
        self.last: Reading | None = None
        self.seen: dict[str, float] = {}  # how far each operation had counted, also where the last scrape left it out
        self.read_us = 0
        self.began_us = 0  # when its counters began anew, as far as that was seen
        self.violated: dict[str, int] = {}  # by invariant: when this process last broke it
        self.counted: dict[str, float] = {}  # how often each was broken, also where the last scrape left it out
        self.unseen = ("", 0)  # the counter that was looked for in vain, in so many scrapes running
        self.digest = ""
        self.since_us = 0
        self.confirmed_us = 0

    @property
    def told_of_us(self) -> int:
        """Up to when its last scrape told: a store of metrics answers with what it read a while ago, and its clock may differ."""
        last_us = self.last.at_us if self.last is not None else self.read_us
        return max(min(self.read_us, last_us), self.read_us - int(LATE_S * 1e6))

    def told(self, digest: str, at_us: int) -> bool:
        """The deployment system says what it runs; whether that is another thing than before."""
        if at_us <= self.confirmed_us:
            return False
        changed = digest != self.digest
        if changed:
            # the first word of a node is no change
            self.digest, self.since_us = digest, at_us if self.confirmed_us else 0
        self.confirmed_us = at_us
        return changed

    def increments(self, reading: Reading, now_us: int) -> dict[str, Histogram] | None:
        """What came since its last scrape; None where that cannot be said."""
        last, before_us = self.last, self.read_us
        if last is not None and last.at_us - GAP_S * 1e6 <= reading.at_us <= last.at_us:
            return None
        self.last, self.read_us = reading, now_us
        self._violations(last, reading, now_us)
        before = self.seen
        self.seen = {**before, **{name: h.total for name, h in reading.operations.items()}}
        if last is None or reading.at_us <= last.at_us or now_us - before_us > GAP_S * 1e6:
            return None  # one that is much older was read after the clock was set back
        if _began_anew(last, reading):
            self.began_us = now_us
            return None
        found = {}
        for operation, after in reading.operations.items():
            earlier = last.operations.get(operation)
            if earlier is None and 0 < before.get(operation, 0.0) <= after.total:
                continue  # a scrape left it out: nobody knows how much of this came in between
            changed = after if earlier is None else delta(earlier, after)
            if changed is not None:
                found[operation] = changed
        return found

    def _violations(self, last: Reading | None, reading: Reading, now_us: int) -> None:
        """Note which invariants were broken since the last scrape; what a process did before it began anew was another one's."""
        # of one that came into being while we looked all is new
        before = self.counted if last is not None else {} if self.began_us else reading.violations
        anew = last is not None and (_began_anew(last, reading) or any(n < before.get(name, 0.0) for name, n in reading.violations.items()))
        if anew:
            self.violated, before = {}, {}
        self.violated.update({name: now_us for name, count in reading.violations.items() if count > before.get(name, 0.0)})
        self.counted = {**before, **reading.violations}
        absent = reading.absent.get("invariants", "")
        self.unseen = (absent, self.unseen[1] + 1 if absent else 0)


class _Waiting(Struct):
    """Increments of one scrape that nobody has said the version of yet: by node (from when, what). `volatility` of all nodes."""

    at_us: int
    nodes: dict[str, tuple[int, dict[str, Histogram]]]
    known: dict[str, tuple[str, dict[str, Histogram]]]
    volatility: float = math.nan


class _Place:
    def __init__(self) -> None:
        self.nodes: dict[str, _Node] = {}
        self.waiting: deque[_Waiting] = deque()
        self.past = Past()
        self.source = ""
        self.heard_us = 0
        self.taken_us = 0
        self.begun = False

    def others(self, source: str, now_us: int) -> bool:
        """Whether the place's metrics come from another source."""
        if source != self.source and now_us - self.heard_us <= OTHER_S * 1e6:
            return True
        self.source, self.heard_us = source, now_us
        return False

    def told(self, fact: Fact[Fleet]) -> None:
        """What runs there: this decides what the increments that wait are of."""
        named = running(fact.value)
        for name, node in self.nodes.items():
            digest = named.get(name, "")
            if node.told(digest, fact.at_us):
                for waiting in self.waiting:
                    waiting.nodes.pop(name, None)
                continue
            for waiting in self.waiting:
                part = waiting.nodes.get(name)
                if part is None or node.confirmed_us < waiting.at_us + SETTLED_S * 1e6:
                    continue
                del waiting.nodes[name]
                if digest and part[0] >= node.since_us + WARM_S * 1e6 * (node.since_us > 0):
                    waiting.known[name] = (digest, part[1])

    def add(self, readings: Sequence[Reading], now_us: int) -> None:
        """One more scrape."""
        if not readings or now_us - self.taken_us < LOOK_S * 1e6:
            return
        self.taken_us = now_us
        parts = {}
        for reading in readings:
            known = self.nodes.get(reading.node)
            node = known or self.nodes.setdefault(reading.node, _Node())
            if known is None and self.begun:
                node.began_us = now_us  # it came into being while we looked
            before_us = node.told_of_us
            found = node.increments(reading, now_us)
            warm = before_us >= node.began_us + WARM_S * 1e6 * (node.began_us > 0)
            if found is not None and warm:
                parts[reading.node] = (before_us, found)
        self.begun = True
        if parts:
            # the middle of the nodes: one that begins with an empty book makes no calm market
            wild = [r.volatility for r in readings if r.node in parts and math.isfinite(r.volatility)]
            self.waiting.append(_Waiting(now_us, parts, {}, median(wild) if wild else math.nan))

    def settle(self, now_us: int) -> None:
        """What is known goes into the past, in order."""
        while self.waiting:
            first = self.waiting[0]
            if first.nodes and now_us - first.at_us <= HELD_S * 1e6:
                return
            self.waiting.popleft()
            self.past.add(first.at_us, _together(first.known), first.volatility)
        for name in [n for n, node in self.nodes.items() if now_us - node.read_us > KEPT_S * 1e6]:
            del self.nodes[name]


class Feed:
    """All places. `add` is called by the lanes that read metrics, the rest by the judges' lanes; any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[str, _Place] = {}

    def add(self, source: str, readings: Sequence[Reading], fleets: Mapping[str, Fact[Fleet]], now_us: int) -> None:
        """What was read just now, and what is known of what runs; `now_us` by this machine's clock."""
        by_place: dict[str, list[Reading]] = {at: [] for at in fleets}
        for reading in readings:
            by_place.setdefault(place(reading.service, reading.environment), []).append(reading)
        with self._lock:
            for at, mine in by_place.items():
                known = self._places.setdefault(at, _Place())
                if known.others(source, now_us) if mine else known.source != source:
                    continue
                if at in fleets:
                    known.told(fleets[at])
                known.add(mine, now_us)
                known.settle(now_us)

    def forget(self) -> None:
        """Begin anew: the clock was set back, and nothing of before can be put in order with what comes."""
        with self._lock:
            self._places.clear()

    def past(self, at: str) -> Past | None:
        """The past of a place, for whoever holds `locked`."""
        found = self._places.get(at)
        return found.past if found is not None else None

    @property
    def locked(self) -> threading.Lock:
        """Held while a past is read."""
        return self._lock

    def heard_us(self, at: str) -> dict[str, int]:
        """When each node of a place was last read."""
        with self._lock:
            found = self._places.get(at)
            return {name: node.read_us for name, node in found.nodes.items()} if found is not None else {}

    def violated(self, at: str, digest: str, since_us: int) -> tuple[str, ...]:
        """The invariants that nodes broke since then which run that digest, in words."""
        with self._lock:
            found = self._places.get(at)
            known = sorted(found.nodes.items()) if found is not None else []
            # one that changed and was not read since may have broken them as what it ran before
            mine = [(name, node.violated) for name, node in known if node.digest == digest and node.read_us >= node.since_us]
            return tuple(f"{words} on {name}" for name, violated in mine for words, at_us in violated.items() if at_us >= since_us)

    def unseen(self, at: str, digest: str) -> str:
        """The counter of invariants that the settings name and that none of the nodes with that digest has; "" where one has it."""
        with self._lock:
            found = self._places.get(at)
            mine = [node.unseen for node in found.nodes.values() if node.digest == digest] if found is not None else []
            return mine[0][0] if mine and all(count >= UNSEEN_READS for _, count in mine) else ""

    def looks(self, at: str, sides: Split, first: int, last: int | None = None) -> tuple[list[Look], int]:
        """The looks from number `first` on, and the number of the next one."""
        with self._lock:
            past = self.past(at)
            if past is None:
                return [], first
            end = past.next if last is None else last
            return past.looks(sides, first, end), end

    def bytes(self) -> int:
        """What all of it takes."""
        with self._lock:
            return sum(known.past.bytes for known in self._places.values())


def _began_anew(last: Reading, reading: Reading) -> bool:
    """Whether the process was restarted between these: some counter fell back, or an operation that was counted is gone."""
    for operation, before in last.operations.items():
        after = reading.operations.get(operation)
        if (after is None and before.total > 0) or (after is not None and after.total < before.total):
            return True
    return False


def _together(known: Mapping[str, tuple[str, dict[str, Histogram]]]) -> dict[str, tuple[str, dict[str, Histogram]]]:
    """As they are, or, where there are many nodes, one for each version."""
    if len(known) <= MOST_NODES:
        return dict(known)
    from cockpit.domain.judge import together

    digests = {digest for digest, _ in known.values()}
    return {f"*{d}": (d, together([operations for digest, operations in known.values() if digest == d])) for d in sorted(digests)}
