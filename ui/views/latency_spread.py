"""The distribution of all samples: candidate against baseline at equal age, else against the time just before its deployment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QWidget

from cockpit.domain.metrics import Histogram, quantile_s
from ui.models.text import count_text, duration_text, plain
from ui.views.latency_pages import ALL, NO_SAMPLES, NONE_YET, LatencyPage, Scope
from ui.widgets.distribution import DistributionView, quantile_text
from ui.widgets.texts import Text

if TYPE_CHECKING:
    from cockpit.app import Cockpit
    from cockpit.domain.heat import Heat

TOLD = ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99"))
SLACK_US = 30_000_000  # samples need not reach back to the very second
FEWEST = 10  # beyond a percentile on both sides, for their ratio to be told


class Sides(Struct, frozen=True):
    """Two windows in microseconds (None: no baseline in memory), and in words what the baseline is."""

    candidate: tuple[int, int]
    baseline: tuple[int, int] | None
    words: str


def sides_of(scope: Scope, first_us: int) -> Sides:
    """What is compared, where samples are kept from `first_us` on."""
    window, pair = (int(scope.start_s * 1e6), int(scope.end_s * 1e6)), scope.pair
    if pair is None:
        return Sides(window, None, "no deployment is known here, so there is no baseline")
    mine, equal = pair.ages(*window)
    from_version = plain(pair.from_version, 40) or "what ran before"
    if mine[1] <= mine[0]:
        return Sides(mine, None, f"{plain(pair.candidate.version, 40)} came later than this window")
    if equal is not None and equal[1] > equal[0] and equal[0] >= first_us - SLACK_US:
        short = mine[1] - mine[0] - (equal[1] - equal[0]) > 1_000_000
        seen = f", only {duration_text((equal[1] - equal[0]) / 1e6)} of it: then it was replaced" if short else ""
        return Sides(mine, equal, f"{from_version} at the same age, {duration_text(pair.apart_us / 1e6)} earlier{seen}")
    start = max(pair.candidate.start_us - (mine[1] - mine[0]), first_us - SLACK_US, pair.baseline.start_us if pair.baseline else 0)
    if start >= pair.candidate.start_us:
        return Sides(mine, None, f"the samples of {from_version} are no longer kept; Side by side reads its quantiles from history")
    length = duration_text((pair.candidate.start_us - start) / 1e6)
    return Sides(mine, (start, pair.candidate.start_us), f"{from_version} in the {length} before (none of that age is kept)")


def histogram_of(heat: Heat | None, window: tuple[int, int] | None) -> Histogram | None:
    """All samples of a window as one histogram; None where there are none."""
    if heat is None or window is None or window[1] <= window[0]:
        return None
    import numpy as np

    counts = heat.sums(np.array([window[0] / 1e6, np.nextafter(window[1] / 1e6, np.inf)]))[0]
    if not counts.sum():
        return None
    return Histogram(heat.bounds_s, tuple(np.cumsum(counts).tolist()))


def samples_words(scope: Scope, heat: Heat | None) -> str:
    """Why there are no samples to be seen, and where there are some."""
    if scope.node != ALL and scope.operation != ALL:
        return NO_SAMPLES
    if heat is None or not heat.end:
        return NONE_YET
    since = duration_text(max(0.0, scope.now_us / 1e6 - heat.first_s))
    return f"No samples in this window: they are kept for a day, and while no window is open none come. The first are {since} old."


class SpreadPage(LatencyPage):
    """The curves, the percentiles as numbers below, and what is compared in words above. Goes on while the view follows."""

    def __init__(self, cockpit: Cockpit, changed: Callable[[], None], parent: QWidget | None = None) -> None:
        super().__init__(cockpit, changed, parent)
        self.words = Text(role="muted", ink="muted", parent=self)
        self.view = DistributionView(self)
        self.view.said.connect(self.said)
        self.cells: list[list[Text]] = []
        self.box.addWidget(self.words)
        self.box.addWidget(self.view, 1)
        self.box.addLayout(self._table())

    def _table(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(2)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for row, title in enumerate(("", "candidate", "baseline", "ratio")):
            cells = [Text(title, role="muted" if row in (0, 3) else "number", ink="muted" if row in (0, 3) else "text", parent=self)]
            for _ in range(len(TOLD) + 1):
                cell = Text(role="muted" if row == 0 else "number", ink="muted" if row == 0 else "text", elide=False, parent=self)
                cell.setAlignment(right)
                cells.append(cell)
            for column, cell in enumerate(cells):
                grid.addWidget(cell, row, column)
            self.cells.append(cells)
        grid.setColumnStretch(0, 5)
        for column in range(1, len(TOLD) + 2):
            grid.setColumnStretch(column, 2)
        for cell, words in zip(self.cells[0][1:], ("samples", *(name for _, name in TOLD)), strict=True):
            cell.set_text(words)
        return grid

    def draw(self, scope: Scope) -> None:
        """Show the pair of this window."""
        heat = self.cockpit.latency.heat(scope.series)
        first_us = int(heat.first_s * 1e6) if heat is not None and heat.end else int(scope.now_us)
        sides = sides_of(scope, first_us)
        both = histogram_of(heat, sides.candidate), histogram_of(heat, sides.baseline)
        pair = scope.pair
        names = (
            (plain(pair.candidate.version, 40), plain(pair.from_version, 40) or "before") if pair is not None else ("this window", "none")
        )
        self.view.set_empty(self._empty(scope, heat))
        self.view.show_pair(*both, names)
        length = duration_text((sides.candidate[1] - sides.candidate[0]) / 1e6)
        self.words.set_text(f"{names[0]}, {length}, against {sides.words}" if sides.baseline is not None else f"{names[0]}: {sides.words}")
        self._tell(both, names)

    def _empty(self, scope: Scope, heat: Heat | None) -> str:
        if self.cockpit.store.state.starting:
            return scope.empty[0]
        return samples_words(scope, heat)

    def _tell(self, both: tuple[Histogram | None, Histogram | None], names: tuple[str, str]) -> None:
        for row, (histogram, name, role) in enumerate(zip(both, names, ("candidate", "baseline"), strict=True), start=1):
            self.cells[row][0].set_text(f"{name} ({role})")
            self.cells[row][1].set_text(count_text(histogram.total if histogram is not None else 0))
            for column, (q, _) in enumerate(TOLD, start=2):
                text = quantile_text(histogram, q)
                self.cells[row][column].set_text(text, _TIPS.get(text[:1], ""))
        for column, (q, _) in enumerate(TOLD, start=2):
            self.cells[3][column].set_text(ratio_text(*both, q))


_TIPS = {
    "≈": "fewer than ten samples lie beyond it: the next ones may move it far",
    "≥": "it lies in the last bucket of the histogram, which has no upper end",
    "–": "too few samples to say",
}


def ratio_text(candidate: Histogram | None, baseline: Histogram | None, q: float) -> str:
    """x 1.04; a dash where either side has too few samples beyond, or lies in the open bucket."""
    if candidate is None or baseline is None or min(candidate.total, baseline.total) * (1 - q) < FEWEST - 1e-9:
        return "–"
    if any(quantile_text(h, q).startswith("≥") for h in (candidate, baseline)):
        return "–"
    a, b = quantile_s(candidate, q), quantile_s(baseline, q)
    return f"x {a / b:.2f}" if a is not None and b else "–"
