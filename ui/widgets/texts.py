"""Text from outside on screen: always plain, wrapped or elided in the middle, the whole of it in the tooltip."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen, QResizeEvent, QTextLayout, QTextOption
from PySide6.QtWidgets import QAbstractButton, QFrame, QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from ui.bridge import guarded
from ui.models.text import plain, tooltip_text
from ui.theme import Theme, font, theme_of
from ui.widgets.shapes import SIZE, paint_state

RowContent = tuple[str, str, str, str] | tuple[str, str, str, str, str]
_LIMIT = 2000  # characters of outside text that one paragraph shows; the tooltip has as much
_GAP = 8
NOTE = "note"  # in the place of a state: quiet words that belong to the row above


class Text(QLabel):
    """One line of plain text in a role's font and the colour of a token (`ink`); too long is elided in the middle."""

    def __init__(self, text: str = "", *, role: str = "body", ink: str = "text", elide: bool = True, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._whole, self._tip, self._elide, self._ink = "", "", elide, ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setFont(font(role))
        if elide:
            self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.set_ink(ink)
        self.set_text(text)

    @property
    def whole(self) -> str:
        """The text before any eliding."""
        return self._whole

    def set_text(self, text: str, tooltip: str = "") -> None:
        """Show `text`; the tooltip is `tooltip`, else the whole text where it is cut."""
        line = plain(text)
        if (line, tooltip) == (self._whole, self._tip):
            return
        self._whole, self._tip = line, tooltip
        self.setAccessibleName(line)
        self._fit()

    def set_ink(self, ink: str) -> None:
        """Colour by token."""
        if ink == self._ink:
            return
        self._ink = ink
        self._paint_ink()

    def _paint_ink(self) -> None:
        palette = self.palette()
        palette.setColor(self.foregroundRole(), theme_of(self).colour(self._ink))
        self.setPalette(palette)

    def _fit(self) -> None:
        shown = self._whole
        if self._elide:
            shown = self.fontMetrics().elidedText(self._whole, Qt.TextElideMode.ElideMiddle, max(8, self.contentsRect().width()))
        if shown != self.text():
            super().setText(shown)
        tip = self._tip or (self._whole if shown != self._whole else "")
        if tooltip_text(tip) != self.toolTip():
            self.setToolTip(tooltip_text(tip))

    @guarded
    def minimumSizeHint(self) -> QSize:
        """Elided text may shrink to a few letters."""
        hint = super().minimumSizeHint()
        return QSize(24, hint.height()) if self._elide else hint

    @guarded
    def sizeHint(self) -> QSize:
        """Wide enough for the whole text."""
        metrics = self.fontMetrics()
        return QSize(min(4000, metrics.horizontalAdvance(self._whole) + 4), metrics.height() + 4)

    @guarded
    def resizeEvent(self, event: QResizeEvent) -> None:
        """Elide anew."""
        super().resizeEvent(event)
        self._fit()

    @guarded
    def changeEvent(self, event: QEvent) -> None:
        """Another theme: another colour."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange and self._ink:
            self._paint_ink()
        elif event.type() == QEvent.Type.FontChange and self._whole:
            self._fit()


class Row(QAbstractButton):
    """A state mark, words, and a short right-aligned figure. With a place it is a link: click, Enter or Space go there.

    The words wrap; with `one_line` they are cut at their end instead. `indented` keeps the mark's room where there is none. The state
    "note" is none: its words are quiet and belong to the row above.
    """

    went = Signal(str)
    resized = Signal()

    def __init__(self, parent: QWidget | None = None, *, one_line: bool = False, indented: bool = False) -> None:
        super().__init__(parent)
        self._state, self._words, self._right, self._place, self._tip = "", "", "", "", ""
        self._one_line, self._indented, self._quiet = one_line, indented, False
        # not Maximum: the hint knows no width, and would cut the words where they wrap once more
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setFont(font("body"))
        self.clicked.connect(self._go)

    def set_row(self, state: str, words: str, right: str = "", place: str = "", tip: str = "") -> None:
        """Show one row; `state` is a word of the theme's states, "note" or ""; `tip` is what the tooltip says besides."""
        quiet, self._quiet = self._quiet, state == NOTE
        new = ("" if state == NOTE else state, plain(words, _LIMIT), right, place, tip)
        if quiet == self._quiet and new == (self._state, self._words, self._right, self._place, self._tip):
            return
        grows = (new[1], bool(right)) != (self._words, bool(self._right))
        self._state, self._words, self._right, self._place, self._tip = new
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus if place else Qt.FocusPolicy.NoFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor if place else Qt.CursorShape.ArrowCursor)
        self.setAccessibleName(", ".join(p for p in new[:3] if p))
        whole = new[1] if self._one_line else ""
        self.setToolTip(tooltip_text("\n".join(t for t in (tip or whole, f"Go to {place}" if place and not tip else "") if t)))
        if grows:
            self.updateGeometry()
        self.update()

    @property
    def as_text(self) -> str:
        """The row as one line of text."""
        return "  ".join(p for p in (self._state, self._words, self._right) if p)

    @property
    def place(self) -> str:
        """Where a click leads, "" for nowhere."""
        return self._place

    def _go(self) -> None:
        if self._place:
            self.went.emit(self._place)

    def _right_width(self) -> int:
        metrics = QFontMetrics(font("muted"))
        # an age that grows moves nothing; only what is wider than any age takes more
        return max(metrics.horizontalAdvance("00 min"), metrics.horizontalAdvance(self._right)) if self._right else 0

    def _layout(self, width: int) -> QTextLayout:
        option = QTextOption()
        option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        words = self._words
        if self._one_line:
            words = self.fontMetrics().elidedText(words, Qt.TextElideMode.ElideRight, max(20, width))
        layout = QTextLayout(words, self.font())
        layout.setTextOption(option)
        layout.beginLayout()
        top = 0.0
        while True:
            line = layout.createLine()
            if not line.isValid():
                break
            line.setLineWidth(max(20, width))
            line.setPosition(QPointF(0, top))
            top += line.height()
        layout.endLayout()
        return layout

    def _text_width(self, width: int) -> int:
        right = self._right_width()
        return width - self._mark_width() - (right + _GAP if right else 0)

    def _mark_width(self) -> int:
        return 20 if self._state or self._indented else 0

    def hasHeightForWidth(self) -> bool:
        """Words wrap."""
        return True

    @guarded
    def heightForWidth(self, width: int) -> int:
        """Height of the wrapped words, with 4 px around."""
        if self._one_line or not self._words:
            return self.fontMetrics().height() + 6
        return int(self._layout(self._text_width(width)).boundingRect().height()) + 6

    def whole(self, height: int) -> int:
        """How much of `height` its first lines fill, so that none of them is cut; 0 where not even one has room."""
        layout = self._layout(self._text_width(self.width()))
        bottoms = (4 + math.ceil(layout.lineAt(i).rect().bottom()) for i in range(layout.lineCount()))
        return max((bottom for bottom in bottoms if bottom <= height), default=0)

    @guarded
    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another height moves what stands below."""
        super().resizeEvent(event)
        self.resized.emit()

    @guarded
    def sizeHint(self) -> QSize:
        """As the narrowest card shows it; layouts ask for the height at the true width."""
        return QSize(240, self.heightForWidth(240))

    @guarded
    def minimumSizeHint(self) -> QSize:
        """One line."""
        return QSize(60, self.fontMetrics().height() + 6)

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """Mark, words, figure; a link is underlined under pointer or focus."""
        theme = theme_of(self)
        hot = bool(self._place) and (self.underMouse() or self.hasFocus())
        with QPainter(self) as painter:
            painter.setFont(self.font())
            if self._state:
                paint_state(painter, QRectF(0, 3, SIZE, self.fontMetrics().height()), self._state, theme)
            painter.setPen(theme.accent if hot else theme.muted if self._quiet else theme.text)
            layout = self._layout(self._text_width(self.width()))
            layout.draw(painter, QPointF(self._mark_width(), 3))
            if self._place:
                self._underline(painter, layout, theme.accent if hot else theme.muted)
            if self._right:
                painter.setFont(font("muted"))
                painter.setPen(theme.muted)
                painter.drawText(
                    self.rect().adjusted(0, 3, 0, 0), int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop), self._right
                )
            if self.hasFocus():
                focus_ring(painter, self.rect(), theme)

    def _underline(self, painter: QPainter, layout: QTextLayout, color: QColor) -> None:
        painter.setPen(QPen(color, 1, Qt.PenStyle.DotLine))
        for i in range(layout.lineCount()):
            rect = layout.lineAt(i).naturalTextRect()
            bottom = int(rect.bottom()) + 3
            painter.drawLine(int(self._mark_width() + rect.left()), bottom, int(self._mark_width() + rect.right()), bottom)

    @guarded
    def event(self, event: QEvent) -> bool:
        """Repaint when the pointer comes or leaves."""
        if event.type() in (QEvent.Type.Enter, QEvent.Type.Leave):
            self.update()
        return super().event(event)


class RowList(QWidget):
    """Rows below each other, their words aligned; widgets are kept and refilled, so that focus and pointer stay where they are."""

    went = Signal(str)
    moved = Signal()  # rows stand elsewhere

    def __init__(self, accessible_name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(accessible_name)
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(0)
        self.rows: list[Row] = []

    def set_rows(self, rows: Sequence[RowContent]) -> None:
        """(state, words, right, place) for each row, and what its tooltip says besides."""
        while len(self.rows) < len(rows):
            row = Row(self, indented=True)
            row.went.connect(self.went)
            row.resized.connect(self.moved)
            self._box.addWidget(row)
            self.rows.append(row)
        for row, content in zip(self.rows, rows, strict=False):
            row.set_row(*content)
            row.show()
        for row in self.rows[len(rows) :]:
            row.hide()

    @property
    def as_text(self) -> str:
        """All shown rows as lines of text."""
        return "\n".join(r.as_text for r in self.rows if not r.isHidden())


class RowArea(QScrollArea):
    """Scrolls rows and ends below a whole one: what has no room is scrolled to, never cut through its letters."""

    def __init__(self, rows: QWidget, parent: QWidget) -> None:
        super().__init__(parent)
        self._rows = rows
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)  # when all of them stand where they will
        self._soon.timeout.connect(self._fit)
        if isinstance(rows, RowList):
            rows.moved.connect(self._later)
        bar = self.verticalScrollBar()
        bar.rangeChanged.connect(self._later)
        bar.valueChanged.connect(self._later)

    @guarded
    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit anew."""
        super().resizeEvent(event)
        self._later()

    def _later(self) -> None:
        self._soon.start()

    def _fit(self) -> None:
        margin = self._surplus()
        if margin != self.viewportMargins().bottom():
            self.setViewportMargins(0, 0, 0, margin)

    def _surplus(self) -> int:
        """Height at the bottom in which only a part of a row has room."""
        holder = self.widget()
        end = self.verticalScrollBar().value() + self.height()
        if not isinstance(self._rows, RowList) or holder is None or self._rows.mapTo(holder, QPoint(0, self._rows.height())).y() <= end:
            return 0
        for row in self._rows.rows:
            top = row.mapTo(holder, QPoint(0, 0)).y()
            if not row.isHidden() and top < end < top + row.height():
                # one that is higher than all the room ends with a whole line
                seen = 0 if top > self.verticalScrollBar().value() else row.whole(end - top)
                return end - top - seen
        return 0


def scrolled(rows: QWidget, parent: QWidget, lines: int = 0) -> QScrollArea:
    """The rows in an area that scrolls; `lines` fixes its height to so many lines of text, so that what is beside it never moves."""
    area = RowArea(rows, parent)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.viewport().setAutoFillBackground(False)
    holder = QWidget()
    inner = QVBoxLayout(holder)
    inner.setContentsMargins(0, 0, 4, 0)
    inner.addWidget(rows)
    inner.addStretch(1)
    area.setWidget(holder)
    holder.setAutoFillBackground(False)
    if lines:
        area.setFixedHeight(lines * (QFontMetrics(font("body")).height() + 6))
    return area


def focus_ring(painter: QPainter, rect: QRect, theme: Theme, colour: QColor | None = None) -> None:
    """The 2 px ring that shows where the keyboard is."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(colour or theme.accent, 2))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRoundedRect(QRectF(rect).adjusted(1, 1, -1, -1), 4, 4)
