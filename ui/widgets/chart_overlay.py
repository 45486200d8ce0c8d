"""What lies over a time chart: marks, names at the curves' ends, the crosshair, and the line with the values under it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from msgspec import Struct
from PySide6.QtCore import QLineF, QPoint, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QSizePolicy, QWidget

from ui.bridge import guarded, turns_here
from ui.models.text import plain
from ui.theme import Theme, font, theme_of
from ui.widgets.chart_marks import Mark as Mark
from ui.widgets.chart_marks import Span, joined, paint_label, paint_lines, paint_spans, sign_of, touching
from ui.widgets.chart_math import spread
from ui.widgets.chart_text import LEFT, RIGHT, Words

NAMED = 4  # marks that carry their names; the others are lines, named under the crosshair
TOUCH_PX = 6


class EndLabel(Struct, frozen=True):
    """A curve's name at the height of its newest value (device independent pixels)."""

    text: str
    tone: str
    y: float


class Overlay(QWidget):
    """Paints over the chart and takes no mouse. `area` is the plot without its axes."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.area = QRectF()
        self.span = (0.0, 1.0)
        self._words = Words()
        self.marks: tuple[Mark, ...] = ()
        self.marks_named = True
        self.spans: tuple[Span, ...] = ()
        self.ends: tuple[EndLabel, ...] = ()
        self.band = ("", 0.0)  # its name, and the height of its upper edge
        self.message = ("", "")
        self.stale = ""
        self.focused = False
        self._cross: float | None = None
        self._touched: Mark | None = None

    def x_of(self, at_s: float) -> float:
        """Pixels of a time."""
        start, end = self.span
        return self.area.left() + (at_s - start) / max(1e-9, end - start) * self.area.width()

    def tell(
        self,
        span: tuple[float, float],
        area: QRectF,
        message: tuple[str, str],
        ends: tuple[EndLabel, ...],
        band: tuple[str, float],
    ) -> None:
        """What goes along with the curves; only what is others is painted again."""
        if (span, area, message, band) != (self.span, self.area, self.message, self.band):
            self.update()
        elif ends != self.ends:
            self.update(int(area.right()), int(area.top()), self.width() - int(area.right()), int(area.height()))
        self.span, self.area, self.message, self.ends, self.band = span, area, message, ends, band

    def set_cross(self, at_s: float | None) -> None:
        """Move the crosshair; only the two strips it leaves and enters are painted again, and all where it comes to a mark."""
        before, self._touched = self._touched, self._mark_at(at_s)
        if before != self._touched:
            self.update()
        for at in {self._cross, at_s} - {None}:
            self.update(QRect(int(self.x_of(at or 0.0)) - 2, 0, 5, self.height()))
        self._cross = at_s

    def _mark_at(self, at_s: float | None) -> Mark | None:
        """The mark that the crosshair stands on, which is then named however old it is."""
        return None if at_s is None else touching(self.marks, at_s, self.x_of, TOUCH_PX)

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """Marks, ends, crosshair, words where there is no data."""
        theme = theme_of(self)
        with QPainter(self) as painter:
            if self.message[0]:
                self._paint_message(painter, theme)
            else:
                spans = paint_spans(painter, theme, self.spans, self.area, self.x_of)
                self._paint_band_name(painter, theme)
                self._paint_marks(painter, theme, spans if self.marks_named else [])
                self._paint_ends(painter, theme)
            if self.stale:
                self._paint_stale(painter, theme)
            if self._cross is not None and self.span[0] <= self._cross <= self.span[1]:
                painter.setPen(QPen(theme.text, 1))
                x = round(self.x_of(self._cross)) + 0.5
                painter.drawLine(QLineF(x, self.area.top(), x, self.area.bottom()))
            if self.focused:
                painter.setPen(QPen(theme.accent, 2))
                painter.drawRect(self.rect().adjusted(1, 1, -1, -1))

    @property
    def named(self) -> list[Mark]:
        """The marks in sight that carry their names: the newest few, close ones as one, and first the one under the crosshair."""
        start, end = self.span
        seen = sorted((m for m in self.marks if start <= m.at_us / 1e6 <= end), key=lambda m: -m.at_us)
        newest = joined(seen, self.x_of)[:NAMED] if self.marks_named else []
        return newest if self._touched is None or self._touched in newest else [self._touched, *newest]

    def _paint_marks(self, painter: QPainter, theme: Theme, spans: Sequence[tuple[float, str]]) -> None:
        paint_lines(painter, theme, self.marks, self.area, self.x_of)
        taken: list[QRectF] = []
        marks = [(round(self.x_of(m.at_us / 1e6)) + 0.5, sign_of(m.kind) + plain(m.text, 60)) for m in self.named]
        for x, words in (*marks, *spans):
            paint_label(painter, theme, words, x, self.area, taken)

    def _paint_band_name(self, painter: QPainter, theme: Theme) -> None:
        """Above the band's upper edge, or below it where there is no room above."""
        text, y = self.band
        if not text or self.stale:
            return
        face = font("muted")
        metrics = QFontMetrics(face)
        top = y - metrics.height() - 2 if y - metrics.height() - 2 >= self.area.top() else y + 2
        box = QRectF(self.area.left() + 4, top, metrics.horizontalAdvance(text) + 8, metrics.height())
        painter.fillRect(box, theme.surface)
        painter.setFont(face)
        painter.setPen(theme.muted)
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)

    def _paint_ends(self, painter: QPainter, theme: Theme) -> None:
        face = font("muted")
        metrics = QFontMetrics(face)
        height = metrics.height()
        painter.setFont(face)
        ys = spread([e.y for e in self.ends], height - 1, self.area.top() + height / 2, self.area.bottom() - height / 2)
        for end, y in zip(self.ends, ys, strict=True):
            x = self.area.right() + 4
            painter.setPen(QPen(theme.muted if self.stale else theme.colour(end.tone), 2))
            painter.drawLine(QPointF(x, y), QPointF(x + 6, y))
            painter.setPen(theme.muted if self.stale else theme.text)
            box = QRectF(x + 10, y - height / 2, self.width() - x - 10, height)
            self._words.draw(painter, box, LEFT, metrics.elidedText(end.text, Qt.TextElideMode.ElideRight, int(box.width())), "muted")

    def _paint_message(self, painter: QPainter, theme: Theme) -> None:
        title, hint = self.message
        box = self.area.toRect().adjusted(16, 4, -16, -4)
        flags = int(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap)
        painter.setFont(font("strong"))
        used = painter.boundingRect(box, flags, title)
        painter.setFont(font("body"))
        below = painter.boundingRect(box, flags, hint)
        top = max(box.top(), box.center().y() - (used.height() + below.height() + 4) // 2)
        painter.setPen(theme.text)
        painter.setFont(font("strong"))
        painter.drawText(QRect(QPoint(box.left(), top), box.bottomRight()), flags, title)
        painter.setPen(theme.muted)
        painter.setFont(font("body"))
        painter.drawText(QRect(QPoint(box.left(), top + used.height() + 4), box.bottomRight()), flags, hint)

    def _paint_stale(self, painter: QPainter, theme: Theme) -> None:
        painter.setPen(QPen(theme.muted, 1, Qt.PenStyle.DashLine))
        painter.drawRect(self.area.adjusted(0, 0, -1, -1))
        face = font("muted")
        metrics = QFontMetrics(face)
        box = QRectF(self.area.left() + 6, self.area.bottom() - metrics.height() - 8, metrics.horizontalAdvance(self.stale) + 12, 0)
        box.setHeight(metrics.height() + 4)
        painter.fillRect(box, theme.raised)
        painter.setFont(face)
        painter.setPen(theme.text)
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, self.stale)


class ReadOut(QWidget):
    """One line above a chart: its title, the moment, and each curve's value, in places that never move."""

    def __init__(self, title: str, curves: Sequence[Any], widest: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title, self._curves, self._widest = title, tuple(curves), widest
        self._words = Words()
        self._fixed, self._fixed_known = QPixmap(), cast(object, None)
        self._places: list[int] = []
        self._room = (0, 0)
        self._when, self._values = "", tuple("" for _ in self._curves)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_title(self, title: str) -> None:
        """Another title."""
        self._title = title
        self.update()

    @property
    def text(self) -> str:
        """What it says, as text."""
        pairs = (f"{c.title} {v}" for c, v in zip(self._curves, self._values, strict=True))
        return "  ".join((self._title, self._when, *pairs))

    def show_values(self, when: str, values: Sequence[str]) -> bool:
        """`when` in words or as a time, and one text for each curve; answers whether anything changed."""
        changed = (when, tuple(values)) != (self._when, self._values)
        if changed:
            self._when, self._values = when, tuple(values)
            # not together with the curves
            turns_here().soon(self.update)
        return changed

    @guarded
    def sizeHint(self) -> QSize:
        """One line."""
        return QSize(400, QFontMetrics(font("number")).height() + 4)

    @guarded
    def minimumSizeHint(self) -> QSize:
        """One line."""
        return QSize(200, self.sizeHint().height())

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """Title and moment on the left, values right-aligned in fixed places."""
        theme = theme_of(self)
        fixed = self._fixed_words(theme)
        with QPainter(self) as painter:
            painter.drawPixmap(0, 0, fixed)
            painter.setPen(theme.text)
            painter.setFont(font("number"))
            for right, value in zip(self._places, self._values, strict=True):
                self._words.draw(painter, QRectF(0, 0, right, self.height()), RIGHT, value, "number")
            left, room = self._room
            painter.setFont(muted := font("muted"))
            painter.setPen(theme.muted)
            if room >= QFontMetrics(muted).horizontalAdvance(self._when):
                self._words.draw(painter, QRectF(left, 0, room, self.height()), LEFT, self._when, "muted")

    def _fixed_words(self, theme: Theme) -> QPixmap:
        """Title and names, which seldom are others; finds the places of what changes."""
        strong, body, muted = font("strong"), font("number"), font("muted")
        ratio = self.devicePixelRatioF()
        known = (self.width(), self.height(), ratio, theme.name, self._title, strong.key(), body.key(), muted.key())
        if known == self._fixed_known:
            return self._fixed
        self._fixed_known, self._places = known, []
        self._fixed = QPixmap(round(self.width() * ratio), round(self.height() * ratio))
        self._fixed.setDevicePixelRatio(ratio)
        self._fixed.fill(Qt.GlobalColor.transparent)
        value_px, small = QFontMetrics(body).horizontalAdvance(self._widest), QFontMetrics(muted)
        right, middle = self.width(), self.height() / 2
        with QPainter(self._fixed) as painter:
            painter.setFont(muted)
            for curve in reversed(self._curves):
                self._places.insert(0, right)
                right -= value_px + (name_px := small.horizontalAdvance(curve.title))
                painter.setPen(theme.muted)
                painter.drawText(QRect(right, 0, name_px, self.height()), _LEFT, curve.title)
                right -= 6
                painter.setPen(QPen(theme.colour(curve.tone), 2, Qt.PenStyle.DashLine if curve.dashed else Qt.PenStyle.SolidLine))
                painter.drawLine(QLineF(right - 10, middle, right, middle))
                right -= 22
            painter.setFont(strong)
            painter.setPen(theme.text)
            painter.drawText(QRect(0, 0, max(0, right), self.height()), _LEFT, self._title)
        used = QFontMetrics(strong).horizontalAdvance(self._title) + 12
        self._room = (used, right - used)
        return self._fixed


_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
