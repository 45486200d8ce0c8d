"""The one button that arms and fires, and the line for the reason above it."""

from __future__ import annotations

from PySide6.QtCore import QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QLineEdit, QSizePolicy, QWidget

from ui.bridge import guarded
from ui.theme import font, theme_of
from ui.widgets.texts import focus_ring


class FireButton(QAbstractButton):
    """The one button: arms, then fires, in the same place. A double click and a repeating key come out of `pressed_as` marked so."""

    pressed_as = Signal(bool, bool)  # double, repeat

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.look, self.note, self.left = "refused", "", 0.0
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumSize(200, 44)
        self.setFont(font("title"))
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.clicked.connect(self._clicked)

    def set_look(self, look: str, text: str, note: str = "", left: float = 0.0) -> None:
        """look: ready, armed, refused or busy; `left` is the share of the arming time that remains."""
        if (look, text, note, left) == (self.look, self.text(), self.note, self.left):
            return
        self.look, self.note, self.left = look, note, left
        self.setText(text.replace("&", "&&"))
        self.setAccessibleName(text)
        self.setAccessibleDescription(note)
        self.update()

    @guarded
    def sizeHint(self) -> QSize:
        """As wide as the card."""
        return QSize(240, 44)

    def _clicked(self) -> None:
        self.pressed_as.emit(False, False)

    @guarded
    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """The second half of a double click is told apart and clicks nothing."""
        event.accept()
        self.pressed_as.emit(True, False)

    @guarded
    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter and Space press it; a held key counts once."""
        if (
            event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space)
            and not event.modifiers() & Qt.KeyboardModifier.ControlModifier
        ):
            self.pressed_as.emit(False, event.isAutoRepeat())
            event.accept()
            return
        super().keyPressEvent(event)

    def _colors(self) -> tuple[QColor, QColor, QColor]:
        theme = theme_of(self)
        if self.look == "armed":
            return theme.bad, theme.on_fill, theme.bad
        if self.look == "ready":
            return theme.raised, theme.text, theme.accent
        return theme.surface, theme.muted, theme.line

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """Fill, words, the note below them, and the bar of the time that is left."""
        theme = theme_of(self)
        fill, ink, edge = self._colors()
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(edge, 1))
            painter.setBrush(fill.lighter(112) if self.underMouse() and self.look != "refused" else fill)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
            painter.setPen(ink)
            self._paint_words(painter)
            if self.look == "armed":
                width = int((self.width() - 8) * self.left)
                painter.fillRect(QRect(4, self.height() - 5, width, 3), ink)
            if self.hasFocus():
                focus_ring(painter, self.rect(), theme, theme.text if self.look == "armed" else theme.accent)

    def _paint_words(self, painter: QPainter) -> None:
        area = self.rect().adjusted(12, 3, -12, -5)
        words = QFont(font("body"))
        words.setWeight(QFont.Weight.DemiBold)
        painter.setFont(words)
        text = painter.fontMetrics().elidedText(self.text().replace("&&", "&"), Qt.TextElideMode.ElideMiddle, area.width())
        if not self.note:
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, text)
            return
        half = area.height() // 2
        painter.drawText(area.adjusted(0, 0, 0, -half), Qt.AlignmentFlag.AlignCenter, text)
        painter.setFont(font("muted"))
        painter.drawText(area.adjusted(0, half, 0, 0), Qt.AlignmentFlag.AlignCenter, self.note)


class ReasonLine(QLineEdit):
    """The reason; it goes into the journal. `demand` says whether it is needed, and what for."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._needed: bool | None = None
        self.setMaxLength(500)
        self.setFixedHeight(32)
        self.demand(False)

    @property
    def words(self) -> str:
        """What was written."""
        return self.text().strip()

    def demand(self, needed: bool) -> None:
        """Ask for a reason, or offer to take one."""
        if needed == self._needed:
            return
        self._needed = needed
        self.setPlaceholderText("Reason (required)" if needed else "Reason (optional, for the journal)")
        self.setAccessibleName("Reason, required, goes into the journal" if needed else "Reason, optional, goes into the journal")


def fire_words(kind: str, environment: str, version: str, emergency: bool = False) -> str:
    """What the armed button says: the whole deed."""
    if emergency:
        return f"Alone: deploy {version} to {environment}"
    return f"Roll back {environment} to {version}" if kind == "rollback" else f"Deploy {version} to {environment}"
