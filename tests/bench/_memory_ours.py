"""The real window over a real core and its history on disk, fed with a day of latency in the order of time by a clock of its own.

Arguments: data directory, output, hours. Two hundred series of ten points a second, each point with its seven values, go through
`LatencyBook.add_block` a minute at a time, the last ten minutes through `add` as polls do. Writes what it took as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from array import array
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from PySide6.QtCore import QEventLoop, QSettings, QTimer
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication

from cockpit.app import build
from cockpit.domain.metrics import LatencyPoint
from cockpit.paths import find_paths
from ui import theme
from ui.bridge import QtMainThread
from ui.main_window import MainWindow

SERVICES = 10
NODES = ("*", "n1", "n2", "n3", "n4")
OPERATIONS = ("*", "order", "cancel", "quote")
RATE = 10
MINUTE_US = 60_000_000
A_MINUTE = 60 * RATE
SPIKE_MS = 900.0
POLLED_MINUTES = 10
START_US = 1_800_000_000_000_000 // MINUTE_US * MINUTE_US


def places() -> list[str]:
    """Where the series belong."""
    return [f"service-{i:02}@production" for i in range(SERVICES)]


def series() -> list[str]:
    """Two hundred, as the digest names them."""
    return [f"{at}/{node}/{operation}" for at in places() for node in NODES for operation in OPERATIONS]


class Noise:
    """Quantiles, rates and errors that look like those of a service; every piece of it is another one."""

    def __init__(self) -> None:
        random = np.random.default_rng(7)
        size = 50_000
        p50 = 2.0 * np.exp(0.1 * random.standard_normal(size))
        p90, p99, p999 = (p50 * factor * np.exp(0.2 * random.standard_normal(size)) for factor in (2.0, 4.0, 8.0))
        count = random.poisson(2_500, size).astype(float)
        errors = random.binomial(2_500, 0.0004, size) / count
        self._pool = np.array([p50, p90, p99, p999, count / 5.0, errors, count])
        self._random = random

    def minutes(self, first_us: int, count: int) -> np.ndarray[Any, Any]:
        """One table of eight rows; polls come a little early or late."""
        start = int(self._random.integers(0, self._pool.shape[1] - count))
        at = first_us + np.arange(count) * (1_000_000 // RATE) + self._random.integers(0, 3_000, count)
        return np.concatenate((at[None].astype(float), self._pool[:, start : start + count]))


class Day:
    """Feeds the window, minute by minute; `done` is called once the whole of it has gone through."""

    def __init__(self, cockpit: Any, clock: list[int], hours: float, done: Callable[[], None]) -> None:
        self.cockpit, self.clock, self._done = cockpit, clock, done
        self.names = series()
        self.minutes = round(hours * 60)
        self.fed = 0
        self.spike_us = START_US + round(self.minutes / 6) * MINUTE_US + 31_500_000
        self._noise, self._minute = Noise(), 0
        self._polls: Iterator[list[tuple[str, LatencyPoint]]] = iter(())
        for name in self.names:
            at, node, operation = name.split("/")
            cockpit.latency.digest.keys[name] = (at, node, operation)
        self._timer = QTimer()
        self._timer.timeout.connect(self._step)
        self._timer.start(1)

    def _step(self) -> None:
        book = self.cockpit.latency
        if book.saving:
            return
        polls = list(islice(self._polls, 10 * RATE))
        if polls:
            for points in polls:
                self.clock[0] = points[-1][1].at_us
                book.add(points)
        elif self._minute == self.minutes:
            self._timer.stop()
            self._done()
            return
        elif self._minute >= self.minutes - POLLED_MINUTES:
            self._polls = self._polled(START_US + self._minute * MINUTE_US)
            self._minute += 1
        else:
            first_us = START_US + self._minute * MINUTE_US
            self._minute += 1
            self.clock[0] = first_us + MINUTE_US
            book.add_block([(name, self._columns(name, first_us)) for name in self.names])
        self.cockpit.bands.look("bench", 15.0)

    def _columns(self, name: str, first_us: int) -> list[array[float]]:
        table = self._noise.minutes(first_us, A_MINUTE)
        self.fed += A_MINUTE
        if name == self.names[0] and first_us <= self.spike_us < first_us + MINUTE_US:
            table[3, int(np.searchsorted(table[0], self.spike_us))] = SPIKE_MS
        return [array("d", row.tobytes()) for row in table]

    def _polled(self, first_us: int) -> Iterator[list[tuple[str, LatencyPoint]]]:
        """A minute as polls bring it: one point of each series at a time."""
        columns = {name: self._columns(name, first_us) for name in self.names}
        for tick in range(A_MINUTE):
            rows = ((name, [column[tick] for column in found]) for name, found in columns.items())
            yield [(name, LatencyPoint(int(row[0]), *row[1:])) for name, row in rows]


class Bench:
    """The window, the day, and what is looked at afterwards."""

    def __init__(self, data: Path, out: Path, hours: float) -> None:
        self._out, self._data = out, data
        self._clock = [START_US]
        self._main = QtMainThread()
        self.cockpit = build(find_paths(data), self._main, clock_us=lambda: self._clock[0])
        self._window = MainWindow(self.cockpit, QSettings(str(data / "window.ini"), QSettings.Format.IniFormat))
        self._window.resize(1920, 1080)
        self._window.show()
        self._view = self._window.centre.view("latency")
        wait(lambda: bool(self._view.charts))
        # time goes hundreds of times as fast here: a longer window would be painted anew at each step, which it is not in life
        self._view.windows.button(60).click()
        self._report: dict[str, Any] = {"empty_mb": memory_mb("VmRSS")}
        self._began = time.perf_counter(), time.process_time()
        self._day = Day(self.cockpit, self._clock, hours, self._look)

    def _look(self) -> None:
        self.cockpit.latency.flush()
        wait(lambda: not self.cockpit.latency.saving)
        self._report |= {
            "points": self._day.fed,
            "seconds": time.perf_counter() - self._began[0],
            "cpu_s": time.process_time() - self._began[1],
            "disk_bytes": sum(p.stat().st_size for p in self._data.glob("cockpit.sqlite*")),
        }
        view, day = self._view, self._day
        end_s = START_US / 1e6 + day.minutes * 60.0
        view.charts[0].moved.emit(end_s - day.minutes * 60.0, end_s)
        wait(lambda: not view.page.loading)
        self._report["whole"] = self._seen("whole", day.minutes * 60.0)
        begin = time.perf_counter()
        view.charts[0].moved.emit(day.spike_us / 1e6 - 0.5, day.spike_us / 1e6 + 0.5)
        wait(lambda: not view.page.loading)
        self._report["zoom_ms"] = (time.perf_counter() - begin) * 1e3
        self._report["second"] = self._seen("second", 1.0)
        self._report |= {"rss_mb": memory_mb("VmRSS"), "peak_mb": memory_mb("VmHWM")}
        self._out.write_text(json.dumps(self._report), encoding="ascii")
        self._window.close()
        self.cockpit.close()
        self._main.close()
        QApplication.quit()

    def _seen(self, name: str, span_s: float) -> dict[str, Any]:
        """What the chart holds and what it painted where the spike was."""
        chart = self._view.charts[0]
        start, end = chart.range_s
        assert abs(end - start - span_s) < 1e-3, (start, end, span_s)
        data = chart.data.series
        at, values = data.window(start, end)
        image = self._view.grab()
        image.save(str(self._out.parent / f"memory-{name}.png"))
        return {"points": len(at), "highest_ms": float(np.nanmax(values[2])), "painted": painted(chart, self._day.spike_us / 1e6)}


def painted(chart: Any, at_s: float) -> bool:
    """Whether the curve of the p99 reaches the upper part of the chart where that moment is, and nowhere far from it."""
    image: QImage = chart.grab().toImage()
    area, (start, end) = chart._area(), chart.range_s
    origin = chart.plot.viewport().mapTo(chart, area.topLeft().toPoint())
    wanted = theme.theme_of(chart).colour("p99")

    def there(x: float) -> bool:
        columns = range(max(0, round(x) - 3), min(image.width(), round(x) + 4))
        rows = range(origin.y() + 2, origin.y() + round(area.height() * 0.5))
        return any(_near(image.pixelColor(i, j), wanted) for i in columns for j in rows)

    middle = origin.x() + (at_s - start) / (end - start) * area.width()
    return there(middle) and not there(middle + area.width() * 0.3)


def _near(a: Any, b: Any) -> bool:
    return abs(a.red() - b.red()) + abs(a.green() - b.green()) + abs(a.blue() - b.blue()) < 60


def wait(ready: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Let the event loop run until then."""
    loop, timer = QEventLoop(), QTimer()
    timer.timeout.connect(lambda: loop.quit() if ready() or time.perf_counter() > end else None)
    end = time.perf_counter() + timeout_s
    timer.start(1)
    loop.exec()
    timer.stop()
    assert ready(), "it did not come"


def memory_mb(name: str) -> float:
    """A line of the process' status: VmRSS now, VmHWM at most."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("ascii").splitlines())
    return int(lines[name].split()[0]) / 1024


def fail(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """A bench that broke ends at once."""
    traceback.print_exception(kind, error, trace)
    sys.stderr.flush()
    os._exit(1)


def main() -> int:
    """Run it."""
    app = QApplication(["release-cockpit", "-style", "fusion"])
    sys.excepthook = fail
    theme.apply(app, "dark")
    bench: list[Bench] = []
    QTimer.singleShot(0, lambda: bench.append(Bench(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))))
    return int(app.exec())


if __name__ == "__main__":
    sys.exit(main())
