"""Candidate against baseline as percentiles: each further nine has the same width, so that the tail is seen as well as the middle."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QFontMetrics,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from cockpit.domain.metrics import Histogram, quantile_s
from ui.bridge import guarded
from ui.models.text import ms_text, plain, plural
from ui.theme import Theme, font, theme_of
from ui.widgets.chart_scale import Scale

LAST = 0.9999
TICKS = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999)
FEW = 10  # a percentile beyond which fewer samples lie is drawn faint: the next one may move it far
_STEPS = 120
_LEFT, _RIGHT, _TOP = 62, 16, 26
_TONES = (("p99", Qt.PenStyle.SolidLine), ("muted", Qt.PenStyle.DashLine))


class Curve(Struct):
    """Percentiles of one version: (place, milliseconds) as far as its samples carry, `sure` the place up to which they are many."""

    name: str = ""
    samples: float = 0.0
    points: list[tuple[float, float]] = []
    sure: float = 0.0

    @property
    def end(self) -> float:
        """The place beyond which nothing is known."""
        return self.points[-1][0] if self.points else 0.0


def nines(q: float) -> float:
    """The place of a quantile: 0 at 0, 1 at 0.9, 2 at 0.99."""
    return -math.log10(max(1e-12, 1.0 - q))


def percent_name(place: float) -> str:
    """The percentile at a place: p50, p98.7, p99, p99.95."""
    return f"p{round(100 - 100 * 10.0**-place, 1 if place <= 3 + 1e-9 else 2):g}"


def percentiles(histogram: Histogram | None) -> list[tuple[float, float]]:
    """(place, milliseconds) of the quantiles up to p99.99, as far as the number of samples carries: a tail of one is no tail.

    It ends too where the last, open bucket begins: how slow those were was not measured.
    """
    if histogram is None or histogram.total <= 0:
        return []
    # beyond 1 - 1/n there is no sample that could tell
    most = min(nines(LAST), math.log10(max(1.0, histogram.total)))
    closed = _closed(histogram)
    found = []
    for step in range(1, _STEPS + 1):
        place = most * step / _STEPS
        q = 1.0 - 10.0**-place
        value = quantile_s(histogram, q)
        if value is None or q * histogram.total > closed:
            break
        found.append((place, value * 1e3))
    return found


def _closed(histogram: Histogram) -> float:
    """How many samples lie in buckets with an upper end."""
    finite = [n for bound, n in zip(histogram.bounds_s, histogram.counts, strict=True) if math.isfinite(bound)]
    return finite[-1] if finite else 0.0


def curve_of(name: str, histogram: Histogram | None) -> Curve:
    """The curve of what was measured."""
    points, total = percentiles(histogram), histogram.total if histogram is not None else 0.0
    return Curve(name, total, points, math.log10(max(1.0, total / FEW)))


def value_at(curve: Curve, place: float) -> float | None:
    """Milliseconds at a place; None beyond what is known."""
    if not curve.points or place > curve.end + 1e-9:
        return None
    return min(curve.points, key=lambda p: abs(p[0] - place))[1]


def quantile_text(histogram: Histogram | None, q: float) -> str:
    """12.4 ms; with a ≈ where few samples lie beyond it, ≥ where it lies in the open bucket, a dash where none could tell."""
    if histogram is None or histogram.total * (1 - q) < 1 - 1e-9:
        return "–"
    value = quantile_s(histogram, q)
    words = ms_text(None if value is None else value * 1e3)
    if q * histogram.total > _closed(histogram):
        return f"≥ {words}"
    return words if histogram.total * (1 - q) >= FEW - 1e-9 else f"≈ {words}"


class DistributionView(QWidget):
    """Two curves over the percentiles, candidate solid and baseline dashed, on a logarithmic axis of milliseconds.

    The pointer, Left and Right move the crosshair; Ctrl+C copies the values under it, Ctrl+S saves; `said` tells what became of it.
    """

    said = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._measured: tuple[Histogram | None, Histogram | None] = (None, None)
        self.known: tuple[Curve, Curve] = (Curve(), Curve())
        self.empty = "Nothing was measured yet"
        self.cross: float | None = None
        self.scale = Scale()
        self.scale.set_log(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("Distribution of the latency")

    @property
    def curves(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """The points of both, the candidate's first."""
        return self.known[0].points, self.known[1].points

    def show_pair(self, candidate: Histogram | None, baseline: Histogram | None, names: tuple[str, str]) -> None:
        """Show what was measured of both (counts since they began) with their names, the candidate's first."""
        same = self._measured == (candidate, baseline) and names == (self.known[0].name, self.known[1].name)
        if same:
            return
        self._measured = (candidate, baseline)
        self.known = (curve_of(names[0], candidate), curve_of(names[1], baseline))
        values = [v for curve in self.curves for _, v in curve if v > 0]
        if values:
            self.scale.fit(max(values), min(values))
        self.setAccessibleDescription("; ".join(self._words(i) for i in (0, 1) if self.curves[i]) or "nothing measured yet")
        self.update()

    def set_empty(self, words: str) -> None:
        """What stands here while nothing is measured."""
        if words != self.empty:
            self.empty = words
            self.update()

    def _words(self, number: int) -> str:
        told = ((q, name, quantile_text(self._measured[number], q)) for q, name in ((0.5, "p50"), (0.99, "p99"), (LAST, "p99.99")))
        texts = ", ".join(f"{name} {text}" for _, name, text in told if text != "–")
        return f"{plain(self.known[number].name, 80)}: {texts} of {plural(round(self.known[number].samples), 'sample')}"

    # crosshair, copies and files -------------------------------------------------------------------------------------------

    def set_cross(self, place: float | None) -> None:
        """Put the crosshair at a place of the axis; None takes it away."""
        self.cross = None if place is None else min(nines(LAST), max(0.0, place))
        self.update()

    def copy(self) -> None:
        """Put the values under the crosshair, or all named percentiles, on the clipboard."""
        from ui.widgets.distribution_export import copy_values

        self.said.emit(copy_values(self))

    def save(self) -> None:
        """Ask for a file and write the curves into it, as PNG, SVG or CSV by its ending."""
        from ui.widgets.chart_export import ask_path

        ask_path(self)

    @Slot(str)
    def export(self, path: str) -> None:
        """Write the curves to `path` in the form of its ending."""
        from ui.widgets.distribution_export import save

        self.said.emit(save(self, path))

    @guarded
    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """The crosshair follows."""
        area = self.area
        inside = area.contains(event.position())
        self.set_cross((event.position().x() - area.left()) / max(1.0, area.width()) * nines(LAST) if inside else None)

    @guarded
    def leaveEvent(self, event: QEvent) -> None:
        """The crosshair goes."""
        self.set_cross(None)

    @guarded
    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Copy and save."""
        from ui.widgets.chart_export import chart_menu

        chart_menu(self).popup(event.globalPos())

    @guarded
    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Walk, copy, save."""
        step = {Qt.Key.Key_Left: -0.05, Qt.Key.Key_Right: 0.05}.get(Qt.Key(event.key()))
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        elif event.matches(QKeySequence.StandardKey.Save):
            self.save()
        elif step is not None:
            self.set_cross((self.cross if self.cross is not None else nines(0.99)) + step)
        else:
            super().keyPressEvent(event)

    # looks -----------------------------------------------------------------------------------------------------------------

    @guarded
    def sizeHint(self) -> QSize:
        """Room for its labels."""
        return QSize(420, 240)

    @guarded
    def minimumSizeHint(self) -> QSize:
        """Room for its labels."""
        return QSize(260, 140)

    @property
    def area(self) -> QRectF:
        """The curves without axes and names."""
        return QRectF(_LEFT, _TOP, self.width() - _LEFT - _RIGHT, self.height() - _TOP - QFontMetrics(font("muted")).height() - 8)

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """Axes, both curves and their names, or what is missing."""
        theme, area = theme_of(self), self.area
        with QPainter(self) as painter:
            painter.fillRect(self.rect(), theme.surface)
            painter.setFont(font("muted"))
            if any(self.curves):
                self._paint_axes(painter, area, theme)
                painter.setRenderHint(QPainter.RenderHint.Antialiasing)
                for number, (tone, style) in reversed(list(enumerate(_TONES))):
                    self._paint_curve(painter, area, number, QPen(theme.colour(tone), 1.6, style))
                    self._paint_name(painter, area, number, QPen(theme.colour(tone), 1.6, style), theme)
                self._paint_cross(painter, area, theme)
            else:
                painter.setPen(theme.muted)
                flags = int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap)
                painter.drawText(self.rect().adjusted(24, 8, -24, -8), flags, self.empty)
            if self.hasFocus():
                painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
                painter.setPen(QPen(theme.accent, 2))
                painter.drawRect(self.rect().adjusted(1, 1, -1, -1))

    def _point(self, area: QRectF, place: float, value: float) -> QPointF:
        return QPointF(area.left() + place / nines(LAST) * area.width(), area.bottom() - self.scale.share(value) * area.height())

    def _paint_axes(self, painter: QPainter, area: QRectF, theme: Theme) -> None:
        grid = QColor(theme.line)
        grid.setAlphaF(0.6 if theme.name != "contrast" else 0.25)
        side = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for tick in self.scale.ticks(int(area.height())):
            value = self.scale.value_of(tick)
            y = self._point(area, 0, value).y()
            painter.setPen(grid)
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(theme.muted)
            painter.drawText(QRectF(0, y - 10, _LEFT - 5, 20), side, f"{value:g} ms")
        for q in TICKS:
            x = self._point(area, nines(q), 1.0).x()
            painter.setPen(grid)
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
            painter.setPen(theme.muted)
            box = QRectF(min(x - 30, self.width() - 62), area.bottom() + 3, 60, 20)
            painter.drawText(box, Qt.AlignmentFlag.AlignHCenter, f"p{q * 100:g}")

    def _paint_curve(self, painter: QPainter, area: QRectF, number: int, pen: QPen) -> None:
        """The part that many samples tell as it is, the rest as dots, and a bar where nothing more is known."""
        curve = self.known[number]
        points: Sequence[QPointF] = [self._point(area, place, value) for place, value in curve.points]
        if not points:
            return
        many = sum(place <= curve.sure + 1e-9 for place, _ in curve.points)
        painter.setPen(pen)
        painter.drawPolyline(QPolygonF(list(points[:many])))
        painter.setPen(QPen(pen.color(), 1.6, Qt.PenStyle.DotLine))
        painter.drawPolyline(QPolygonF(list(points[max(0, many - 1) :])))
        if curve.end < nines(LAST) - 1e-6:
            painter.setPen(QPen(pen.color(), 1.6))
            painter.drawLine(points[-1] - QPointF(0, 5), points[-1] + QPointF(0, 5))

    def _paint_name(self, painter: QPainter, area: QRectF, number: int, pen: QPen, theme: Theme) -> None:
        curve, metrics = self.known[number], QFontMetrics(painter.font())
        left, right = area.left() + number * area.width() / 2, area.left() + (number + 1) * area.width() / 2 - 12
        painter.setPen(pen)
        painter.drawLine(QPointF(left, _TOP / 2), QPointF(left + 22, _TOP / 2))
        painter.setPen(theme.text)
        middle = Qt.AlignmentFlag.AlignVCenter
        value = f":  {ms_text(value_at(curve, self.cross))}" if self.cross is not None else ""
        right -= metrics.horizontalAdvance(value)
        room = int(right - left - 28)
        count = f", {plural(round(curve.samples), 'sample')}" if curve.samples else ", no samples"
        name = metrics.elidedText(plain(curve.name, 80), Qt.TextElideMode.ElideMiddle, max(20, room - metrics.horizontalAdvance(count)))
        painter.drawText(QRectF(left + 28, 0, room, _TOP), Qt.AlignmentFlag.AlignLeft | middle, name + count)
        painter.setFont(font("strong"))
        at = left + 28 + metrics.horizontalAdvance(name + count)
        painter.drawText(QRectF(at, 0, self.width() - at, _TOP), Qt.AlignmentFlag.AlignLeft | middle, value)
        painter.setFont(font("muted"))

    def _paint_cross(self, painter: QPainter, area: QRectF, theme: Theme) -> None:
        if self.cross is None:
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        x = round(self._point(area, self.cross, 1.0).x()) + 0.5
        painter.setPen(QPen(theme.text, 1))
        painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        words, metrics = percent_name(self.cross), QFontMetrics(painter.font())
        wide = metrics.horizontalAdvance(words) + 10
        box = QRectF(min(max(x - wide / 2, area.left()), area.right() - wide), area.bottom() + 3, wide, metrics.height() + 2)
        painter.fillRect(box, theme.raised)
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, words)
