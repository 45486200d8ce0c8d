"""The real window with two hundred live series in its latency view and deployments under watch. Arguments as of _late_ours.py.

Ten times a second every series gets a point. Once a second the nodes of ten places are "read": their histograms go through the digest
and the watch's feed in a worker, as a poll brings them, and the judges of two fresh deployments look. What is read is made up here, in
the worker; the job that takes it in, the window, the store, the book, the history, the watch and its lanes are the real ones.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

from _meter import Meter
from msgspec.structs import replace
from PySide6.QtCore import QObject, Qt, QTimer, Slot
from PySide6.QtWidgets import QApplication

import ui.__main__ as window
from cockpit.domain.facts import Fact, place
from cockpit.domain.metrics import Histogram, LatencyPoint, Reading
from cockpit.domain.release import Deployment, DeployState, Fleet, Node
from cockpit.services.jobs import Measured, MetricsJob

PLACES = 10
WATCHED = 2
NODES = ("n1", "n2", "n3", "n4")
OPERATIONS = ("order", "cancel", "quote")
BOUNDS = (*(0.001 * 1.25**i for i in range(28)), float("inf"))
OLD, NEW = "a" * 64, "b" * 64
SOURCE = "live"


def now_us() -> int:
    """The clock of the window."""
    return time.time_ns() // 1000


class Live(QObject):
    """Feeds a cockpit from the moment on at which it is whole."""

    def __init__(self, cockpit: Any) -> None:
        super().__init__()
        self._cockpit, self._random = cockpit, Random(5)
        self._began_us = now_us()
        self._names = [f"service-{i:02}" for i in range(PLACES)]
        self._series = [
            f"{place(name, 'production')}/{node}/{operation}"
            for name in self._names
            for node in ("*", *NODES)
            for operation in ("*", *OPERATIONS)
        ]
        self._totals: dict[tuple[str, str, str], list[float]] = {}
        self.points = self.reads = self.verdicts = 0
        self._job: MetricsJob | None = None
        self._ticks, self._polls = QTimer(self), QTimer(self)
        for timer, slot, every_ms in ((self._ticks, self._tick, 100), (self._polls, self._poll, 1000)):
            timer.setTimerType(Qt.TimerType.PreciseTimer)
            timer.timeout.connect(slot)
            timer.start(every_ms)

    @property
    def job(self) -> MetricsJob:
        """What a connection of kind openmetrics is asked by."""
        if self._job is None:
            c = self._cockpit
            told = SimpleNamespace(id=SOURCE, title=SOURCE, services=frozenset(self._names), polled=self)
            self._job = MetricsJob(told, c.store, c.latency, c.bands, 30.0, c.watch, c.main.post)  # type: ignore[arg-type]
        return self._job

    @Slot()
    def _tick(self) -> None:
        """One point of each series."""
        if self._cockpit.whole:
            self._cockpit.runner.submit("source:ticks", self._points, self._ticked)

    def _points(self) -> Measured:
        at_us, gauss = now_us(), self._random.gauss
        points = []
        for name in self._series:
            p50 = 5.0 + gauss(0.0, 0.3)
            points.append((name, LatencyPoint(at_us, p50, p50 * 1.8, p50 * 3.5, p50 * 5.0, 500.0, 0.001, 2500.0)))
        return Measured(points, (), {})

    def _ticked(self, outcome: Any) -> None:
        self.job.apply(outcome.get())
        self.points += len(self._series)

    @Slot()
    def _poll(self) -> None:
        """What systems tell, and a reading of all nodes in the worker."""
        cockpit = self._cockpit
        if not cockpit.whole:
            return
        at_us = now_us()
        fleets = {place(name, "production"): Fact(self._fleet(name), at_us, SOURCE, 30.0) for name in self._names}
        deployments = {place(name, "production"): Fact(self._deployments(name), at_us, SOURCE, 30.0) for name in self._names}
        cockpit.store.merge("fleets", fleets)
        cockpit.store.merge("deployments", deployments)
        cockpit.runner.submit(f"source:{SOURCE}", self.job.prepare(), self._polled)

    def _polled(self, outcome: Any) -> None:
        self.job.apply(outcome.get())
        self.reads += 1
        self.verdicts = sum(1 for w in self._cockpit.store.state.watches.values() if w.verdict is not None)

    def read(self, nodes: Sequence[Node]) -> Sequence[Reading]:
        """What all nodes tell now."""
        return self._readings(now_us())

    def _readings(self, at_us: int) -> Sequence[Reading]:
        return [
            Reading(node, name, "production", at_us, {operation: self._counted(name, node, operation) for operation in OPERATIONS})
            for name in self._names
            for node in NODES
        ]

    def _counted(self, *key: str) -> Histogram:
        """A hundred requests more, of about five milliseconds."""
        totals = self._totals.setdefault((key[0], key[1], key[2]), [0.0] * len(BOUNDS))
        for _ in range(25):
            bucket = min(len(BOUNDS) - 1, max(0, round(self._random.gauss(7.5, 2.0))))
            for i in range(bucket, len(BOUNDS)):
                totals[i] += 4.0
        return Histogram(BOUNDS, tuple(totals))

    def _watched(self, name: str) -> bool:
        return name in self._names[:WATCHED]

    def _fleet(self, name: str) -> Fleet:
        """Half of the nodes have the new version."""
        known = [Node(n, name, "production", "1.0.0", "", OLD, True, f"http://127.0.0.1:1/{n}") for n in NODES]
        half = len(NODES) // 2 if self._watched(name) and now_us() - self._began_us > 5_000_000 else 0
        return Fleet(name, "production", tuple(replace(n, version="1.1.0", digest=NEW) if i < half else n for i, n in enumerate(known)))

    def _deployments(self, name: str) -> tuple[Deployment, ...]:
        if not self._watched(name) or now_us() - self._began_us < 3_000_000:
            return ()
        begun = self._began_us + 3_000_000
        where = (f"d-{name}", "", name, "production", "1.1.0", NEW, "deploy", DeployState.SUCCEEDED)
        return (Deployment(*where, from_version="1.0.0", from_digest=OLD, started_at_us=begun, finished_at_us=begun + 1_000_000),)


class LiveMeter(Meter):
    """Says too what went through meanwhile."""

    live: Live | None = None

    def more(self) -> dict[str, Any]:
        """What was fed."""
        live = self.live
        return {"points": live.points, "reads": live.reads, "verdicts": live.verdicts} if live is not None else {}


def main() -> int:
    """The window, with its core fed."""
    app = QApplication(["release-cockpit"])
    meter = LiveMeter(Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
    build = window._core

    def fed(*arguments: Any) -> Any:
        cockpit = build(*arguments)
        meter.live = Live(cockpit)
        return cockpit

    window._core = fed
    status = window.main(["--data-dir", sys.argv[1]])
    app.sendPostedEvents()
    return status


if __name__ == "__main__":
    sys.exit(main())
