"""One measure over versions with its levels and where they changed, and the share of tests that passed, run by run."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QHelpEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from cockpit.domain.measures import Line, Mark, change_words, worse
from ui.bridge import guarded
from ui.models.text import duration_text, percent_text, plain, time_text, tooltip_text
from ui.models.trends import value_text
from ui.theme import Theme, font, theme_of
from ui.widgets.chart_math import value_ticks
from ui.widgets.shapes import fill, paint_shape, paint_state

_DOT = 2.5
_LEAST = 7.0  # pixels a run
_MOST = 40.0
_GAP = 8
_TICK_PX = 36.0  # between two values of the scale, at least


class _Runs(QWidget):
    """Shared: a slot for each run, the newest at the right end; as many as fit."""

    def __init__(self, accessible_name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(accessible_name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def _count(self) -> int:
        return 0

    def _words(self, number: int) -> str:
        return ""

    def _left(self) -> int:
        """Room for the scale."""
        return QFontMetrics(font("muted")).horizontalAdvance("00 min 00 s") + _GAP

    def _fits(self) -> tuple[int, float]:
        """The first run that is shown, and the pixels of each."""
        room = max(1.0, float(self.width() - self._left() - _GAP))
        count = self._count()
        shown = max(1, min(count, int(room / _LEAST)))
        return count - shown, min(_MOST, room / shown)

    def _x(self, number: int) -> float:
        first, step = self._fits()
        return self._left() + (number - first + 0.5) * step

    @guarded
    def event(self, event: QEvent) -> bool:
        """The tooltip of the run under the pointer."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            self._tell(event.pos(), event.globalPos())
            return True
        return super().event(event)

    def _tell(self, at: QPoint, where: QPoint) -> None:
        first, step = self._fits()
        number = first + int((at.x() - self._left()) // step)
        if self._count() and first <= number < self._count() and at.x() >= self._left():
            QToolTip.showText(where, tooltip_text(self._words(number)), self)
        else:
            QToolTip.hideText()

    def _nothing(self, painter: QPainter, theme: Theme, words: str) -> None:
        painter.setPen(theme.muted)
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft | Qt.TextFlag.TextWordWrap, words)


class PassRate(_Runs):
    """The share of tests that passed, a bar a run: full height is all of them; a failed run has its mark above."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Pass rate over versions", parent)
        self._marks: tuple[Mark, ...] = ()
        self.setAccessibleDescription("no run yet")

    def set_marks(self, marks: Sequence[Mark]) -> None:
        """Show these runs, oldest first."""
        if tuple(marks) != self._marks:
            self._marks = tuple(marks)
            bad = [m for m in self._marks if m.state in ("failed", "error")]
            words = f"{len(self._marks)} runs, {len(bad)} of them failed" if self._marks else "no run yet"
            self.setAccessibleDescription(words)
            self.update()

    @guarded
    def sizeHint(self) -> QSize:
        """Bars of 22 pixels below room for a mark."""
        return QSize(300, 36)

    def _count(self) -> int:
        return len(self._marks)

    def _words(self, number: int) -> str:
        m = self._marks[number]
        took = f" in {duration_text(m.duration_s)}" if m.duration_s is not None else ""
        return f"{plain(m.version)}: {m.state}{took}\n{percent_text(m.passed)} of its tests passed\n{time_text(m.at_us)}"

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """The bars, or what would fill this."""
        theme = theme_of(self)
        with QPainter(self) as painter:
            painter.setFont(font("muted"))
            if not self._marks:
                self._nothing(painter, theme, "No run that ended is known yet: how many tests passed stands here.")
                return
            painter.setPen(theme.muted)
            box = QRect(0, 12, self._left() - _GAP, self.height() - 12)
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, "pass rate")
            first, step = self._fits()
            for number in range(first, len(self._marks)):
                self._bar(painter, theme, number, step)

    def _bar(self, painter: QPainter, theme: Theme, number: int, step: float) -> None:
        mark = self._marks[number]
        width, tall = max(3.0, min(18.0, step - 2.0)), self.height() - 14.0
        whole = QRectF(self._x(number) - width / 2, 13.0, width, tall)
        fill(painter, whole, theme.raised)
        # where one test in a thousand failed it must be seen: a part is never painted as the whole
        share = 0.0 if mark.passed is None else mark.passed if mark.passed >= 1 else min(mark.passed, 1 - 3 / tall)
        fill(painter, QRectF(whole.left(), whole.bottom() - tall * share, width, tall * share), theme.state_colour(mark.state))
        if mark.state != "passed":
            side = min(9.0, width + 2.0)
            paint_state(painter, QRectF(self._x(number) - side / 2, 2.0, side, side), mark.state, theme)


class LevelChart(_Runs):
    """Values as dots, levels as lines, changes as marks with their size; worse points up to a triangle, better is a disc."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Measure over versions", parent)
        self._line: Line | None = None
        self._chosen = -1
        self._empty = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.MinimumExpanding)

    def show_line(self, line: Line | None, chosen: int = -1, empty: str = "") -> None:
        """Show a measure; `chosen` is the index of the change that is looked at, `empty` what stands here without a measure."""
        if (line, chosen, empty) == (self._line, self._chosen, self._empty):
            return
        self._line, self._chosen, self._empty = line, chosen, empty
        words = empty
        if line is not None:
            changes = "; ".join(f"{change_words(c.change)} with {plain(line.versions[c.index], 60)}" for c in line.changes)
            words = f"{plain(line.name, 300)}, {len(line.values)} runs: {changes or 'no change of its level'}"
        self.setAccessibleDescription(words)
        self.update()

    @guarded
    def sizeHint(self) -> QSize:
        """Two lines of text and 96 pixels of values."""
        return QSize(300, 96 + 2 * QFontMetrics(font("muted")).height())

    def _count(self) -> int:
        return len(self._line.values) if self._line is not None else 0

    def _words(self, number: int) -> str:
        line = self._line
        if line is None:
            return ""
        return f"{plain(line.versions[number])}: {value_text(line.values[number], line.unit)}\n{time_text(line.at_us[number])}"

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """The measure, or what would fill this."""
        theme = theme_of(self)
        with QPainter(self) as painter:
            painter.setFont(font("muted"))
            if self._line is None or not self._line.values:
                self._nothing(painter, theme, self._empty)
                return
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            high = painter.fontMetrics().height()
            plot = QRectF(self._left(), high + 2, self.width() - self._left() - _GAP, self.height() - 2 * high - 6)
            self._scale(painter, theme, plot)
            self._levels(painter, theme, plot)
            self._dots(painter, theme, plot)
            self._names(painter, theme, plot)

    def _range(self) -> tuple[float, float]:
        """From 0, so that small noise looks small; outliers beyond three times the highest level are cut."""
        line = self._line
        assert line is not None  # noqa: S101 - for the type checker: asked while painting a line
        shown = line.values[self._fits()[0] :]
        levels = [x for c in line.changes for x in (c.before, c.after)] or [sorted(shown)[len(shown) // 2]]
        top = min(max(shown), 3 * max(levels)) if max(levels) > 0 else max(shown)
        low = min(0.0, *shown, *levels)
        return low, (max(top, *levels) * 1.08 or 1.0)

    def _y(self, plot: QRectF, value: float) -> float:
        low, high = self._range()
        return plot.bottom() - (min(value, high) - low) / ((high - low) or 1.0) * plot.height()

    def _scale(self, painter: QPainter, theme: Theme, plot: QRectF) -> None:
        line = self._line
        assert line is not None  # noqa: S101 - as above
        low, top = self._range()
        high = painter.fontMetrics().height()
        for value in (low, *(tick for tick in value_ticks(top, round(plot.height() * 28 / _TICK_PX)) if tick > low)):
            y = self._y(plot, value)
            painter.setPen(QPen(theme.line, 1, Qt.PenStyle.SolidLine if value == low else Qt.PenStyle.DotLine))
            painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))
            painter.setPen(theme.muted)
            box = QRectF(0, y - high / 2, plot.left() - _GAP, high)
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, value_text(value, line.unit))

    def _levels(self, painter: QPainter, theme: Theme, plot: QRectF) -> None:
        line = self._line
        assert line is not None  # noqa: S101 - as above
        first, step = self._fits()
        for number, change in enumerate(line.changes):
            begin = line.changes[number - 1].index if number else 0
            end = line.changes[number + 1].index if number + 1 < len(line.changes) else len(line.values)
            painter.setPen(QPen(theme.text, 2))
            for level, start, stop in ((change.before, begin, change.index), (change.after, change.index, end)):
                if stop > first:
                    left, right = self._x(max(start, first)) - step / 2, self._x(stop - 1) + step / 2
                    painter.drawLine(QPointF(left, self._y(plot, level)), QPointF(right, self._y(plot, level)))
        right = 0.0
        for change in line.changes:
            if change.index > first:
                right = self._mark(painter, theme, plot, change.index, change.change, right)

    def _mark(self, painter: QPainter, theme: Theme, plot: QRectF, index: int, change: float, taken: float) -> float:
        """One change: a dashed line where it begins, its shape and size above; answers where its words end."""
        line = self._line
        assert line is not None  # noqa: S101 - as above
        bad = worse(line, change)
        colour = theme.bad if bad else theme.ok
        x = self._x(index) - self._fits()[1] / 2
        painter.setPen(QPen(colour, 2 if index == self._chosen else 1, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom()))
        words, metrics = change_words(change), painter.fontMetrics()
        wide = 12 + metrics.horizontalAdvance(words)
        left = min(x - 4, plot.right() - wide)
        if left < taken:
            return taken
        paint_shape(painter, QRectF(left, (metrics.height() - 9) / 2, 9, 9), "triangle" if bad else "disc", colour)
        painter.setPen(colour)
        painter.drawText(QPointF(left + 12, metrics.ascent()), words)
        return left + wide + _GAP

    def _dots(self, painter: QPainter, theme: Theme, plot: QRectF) -> None:
        line = self._line
        assert line is not None  # noqa: S101 - as above
        first, _ = self._fits()
        points = [QPointF(self._x(i), self._y(plot, line.values[i])) for i in range(first, len(line.values))]
        faint = QColor(theme.p50)
        faint.setAlphaF(0.45)
        painter.setPen(QPen(faint, 1))
        painter.drawPolyline(QPolygonF(points))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.p50)
        for point in points:
            painter.drawEllipse(point, _DOT, _DOT)

    def _names(self, painter: QPainter, theme: Theme, plot: QRectF) -> None:
        """The version where it changes, as many as do not run into each other; the newest stands in any case."""
        line = self._line
        assert line is not None  # noqa: S101 - as above
        first, _ = self._fits()
        metrics = painter.fontMetrics()
        starts = [i for i in range(first, len(line.versions)) if i == first or line.versions[i] != line.versions[i - 1]]
        taken = float(self.width())
        painter.setPen(theme.muted)
        for i in reversed(starts):
            name = metrics.elidedText(plain(line.versions[i], 60), Qt.TextElideMode.ElideMiddle, 120)
            wide = metrics.horizontalAdvance(name)
            left = min(self._x(i) - wide / 2, self.width() - wide)
            if left + wide + _GAP <= taken and left >= plot.left() - _GAP:
                painter.drawText(QPointF(left, self.height() - metrics.descent() - 1), name)
                taken = left
