"""One measure and the pass rate over time instead of run by run: to zoom, to read and to export. Imports the charts."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from cockpit.domain.measures import Line, Trends, change_words, worse
from cockpit.domain.measures import Mark as Run
from ui.models.text import percent_text, plain
from ui.models.trends import measure_name, value_text
from ui.widgets.chart_marks import Mark, Span
from ui.widgets.time_chart import CurveSpec, TimeChart

NOTHING = ("Nothing measured in this window", "")
MARGIN = 0.03
SHORTEST_S = 60.0
HEIGHT_PX = 196


class TrendsTime(QWidget):
    """Two charts with one time axis and one crosshair; F shows all of it again. `said` tells what became of a copy or a file."""

    said = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._unit = ""
        self._window: tuple[float, float] | None = None
        self._whole = (0.0, SHORTEST_S)
        self.measure = TimeChart(
            "Measure",
            (CurveSpec("value", "value", "p50"), CurveSpec("level", "level", "text", dashed=True)),
            self._value,
            lambda v: value_text(v, self._unit),
            "1 min 42 s",
            self,
        )
        self.passed = TimeChart(
            "Pass rate", (CurveSpec("passed", "passed", "ok"),), percent_text, lambda v: f"{v * 100:g} %", "99.99 %", self
        )
        self.passed.set_top(1.1)
        self.charts = (self.measure, self.passed)
        self._place_charts()
        self.setMinimumHeight(HEIGHT_PX)

    def _place_charts(self) -> None:
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(4)
        for chart, stretch in zip(self.charts, (3, 2), strict=True):
            box.addWidget(chart, stretch)
            chart.moved.connect(self._moved)
            chart.hovered.connect(self._hovered)
            chart.follow_wanted.connect(self._all)
            chart.said.connect(self.said)
            chart.set_empty(*NOTHING)
        self.passed.set_marks((), named=False)
        self.measure.show_time_axis(False)

    def _value(self, value: float | None) -> str:
        return value_text(value, self._unit) if value is not None else "–"

    def _hovered(self, at_s: float | None) -> None:
        for chart in self.charts:
            chart.show_cross(at_s)

    def _moved(self, start_s: float, end_s: float) -> None:
        if end_s - start_s >= SHORTEST_S:
            self._window = (start_s, end_s)
        self._place()

    def _all(self) -> None:
        self._window = None
        self._place()

    def _place(self) -> None:
        for chart in self.charts:
            chart.set_range(*(self._window or self._whole))

    def show_line(self, line: Line | None, trends: Trends) -> None:
        """Show this measure, and how the runs of its service ended."""
        runs = [run for run in trends.marks if run.passed is not None]
        times = [*(line.at_us if line is not None else ()), *(run.at_us for run in runs)]
        first, last = min(times, default=0) / 1e6, max(times, default=0) / 1e6
        margin = max(SHORTEST_S / 2, (last - first) * MARGIN)
        self._whole = (first - margin, last + margin)
        self._unit = line.unit if line is not None else ""
        self.measure.set_title(measure_name(line) if line is not None else "Measure")
        at, values, levels = _columns(line)
        self.measure.set_data(at, {"value": values, "level": levels})
        self.measure.set_marks(_changes(line))
        for chart in self.charts:
            chart.set_spans(_versions(trends.marks, int(self._whole[1] * 1e6)))
        ordered = sorted(runs, key=lambda run: run.at_us)
        self.passed.set_data([float(run.at_us) for run in ordered], {"passed": [run.passed or 0.0 for run in ordered]})
        self._place()


def _columns(line: Line | None) -> tuple[list[float], list[float], list[float]]:
    """Times, values and levels, ascending; runs of one moment count as the later one."""
    if line is None:
        return [], [], []
    rows = {at: (float(at), value, _level(line, i)) for i, (at, value) in enumerate(zip(line.at_us, line.values, strict=True))}
    at, values, levels = zip(*(rows[key] for key in sorted(rows)), strict=True) if rows else ((), (), ())
    return list(at), list(values), list(levels)


def _level(line: Line, index: int) -> float:
    before = next((c.after for c in reversed(line.changes) if c.index <= index), None)
    return before if before is not None else line.changes[0].before if line.changes else float("nan")


def _versions(runs: tuple[Run, ...], end_us: int) -> tuple[Span, ...]:
    """The time of each version: from its first run to the first one of the next."""
    first: dict[str, int] = {}
    for run in runs:
        first[run.version] = min(run.at_us, first.get(run.version, run.at_us))
    starts = sorted((at_us, plain(name, 40)) for name, at_us in first.items())
    ends = [*(at_us for at_us, _ in starts[1:]), end_us][: len(starts)]
    return tuple(Span(at_us, max(at_us + 1, end), "session", name) for (at_us, name), end in zip(starts, ends, strict=True))


def _changes(line: Line | None) -> tuple[Mark, ...]:
    """A mark where the level changed, with its size."""
    if line is None:
        return ()
    return tuple(
        Mark(
            line.at_us[c.index],
            "regression" if worse(line, c.change) else "improvement",
            f"{change_words(c.change)} with {plain(line.versions[c.index], 40)}",
        )
        for c in line.changes
    )
