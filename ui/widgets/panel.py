"""The frame of every panel: title, age, a thin progress line while loading, and what failed in words above the data that is kept."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QRectF, QSize, Qt, QTimer, Slot
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from ui.models.text import age_text, as_of_text, plain, time_tooltip, tooltip_text
from ui.theme import font, theme_of
from ui.widgets.shapes import paint_state


class ProgressLine(QWidget):
    """Two pixels at the top of a panel: moves while something loads, or stands at a share of 0..1. Takes its room always."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._share: float | None = None
        self._busy = False
        self._at = 0.0
        self.setFixedHeight(2)
        self._timer = QTimer(self)
        self._timer.setInterval(50)
        self._timer.timeout.connect(self._step)

    def set_busy(self, busy: bool) -> None:
        """Move, or rest."""
        self._busy = busy
        self._run()

    def set_share(self, share: float | None) -> None:
        """Stand at a share; None clears it."""
        self._share = share
        self.update()

    def _run(self) -> None:
        if self._busy and self.isVisible():
            self._timer.start()
        else:
            self._timer.stop()
        self.update()

    def showEvent(self, event: Any) -> None:
        """Move only while seen."""
        super().showEvent(event)
        self._run()

    def hideEvent(self, event: Any) -> None:
        """Rest while hidden."""
        self._timer.stop()
        super().hideEvent(event)

    @Slot()
    def _step(self) -> None:
        self._at = (self._at + 0.02) % 1.3
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """The line."""
        if not self._busy and self._share is None:
            return
        with QPainter(self) as painter:
            width = self.width()
            if self._busy:
                painter.fillRect(QRectF((self._at - 0.3) * width, 0, 0.3 * width, 2), theme_of(self).accent)
            elif self._share is not None:
                painter.fillRect(QRectF(0, 0, max(0.0, min(1.0, self._share)) * width, 2), theme_of(self).accent)


class StateLabel(QWidget):
    """A state's shape with words in its colour; long words are elided in the middle and whole in the tooltip."""

    def __init__(self, role: str = "body", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._word, self._text, self._role = "", "", role
        self.setFont(font(role))
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    @property
    def text(self) -> str:
        """What it says."""
        return self._text

    @property
    def word(self) -> str:
        """The state it shows."""
        return self._word

    def show_state(self, word: str, text: str = "") -> None:
        """`word` gives shape and colour ("" = none, in plain text colour); `text` stands for the word where it is given."""
        new = (word, plain(text) or word)
        if new == (self._word, self._text):
            return
        self._word, self._text = new
        self.setAccessibleName(f"{word}: {self._text}" if word and word != self._text else self._text)
        self.setToolTip(tooltip_text(self._text))
        self.updateGeometry()
        self.update()

    def _mark(self) -> int:
        return self.fontMetrics().ascent() if self._word else 0

    def sizeHint(self) -> QSize:
        """Mark and words."""
        gap = self._mark() + (8 if self._word else 0)
        return QSize(min(1200, gap + self.fontMetrics().horizontalAdvance(self._text) + 4), self.fontMetrics().height() + 2)

    def minimumSizeHint(self) -> QSize:
        """The mark and a few letters."""
        return QSize(min(self.sizeHint().width(), 60), self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Mark, then words."""
        theme = theme_of(self)
        with QPainter(self) as painter:
            left = 0
            if self._word:
                side = self._mark() * 0.8
                paint_state(painter, QRectF(1, 0, side, self.height()), self._word, theme)
                left = int(side) + 8
            painter.setPen(theme.state_colour(self._word) if self._word else theme.text)
            painter.setFont(self.font())
            rect = self.rect().adjusted(left, 0, 0, 0)
            text = self.fontMetrics().elidedText(self._text, Qt.TextElideMode.ElideMiddle, rect.width())
            painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextSingleLine, text)


class Panel(QWidget):
    """A titled surface. Put content into `body`, controls beside the title into `head`."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.line = ProgressLine(self)
        self.title = _label(font("title"), self)
        self.age = _label(font("muted"), self, muted=True)
        self.state = StateLabel("muted", self)
        self.state.hide()
        self.problem = StateLabel("body", self)
        self.problem.hide()
        self.head = QHBoxLayout()
        self.head.setSpacing(8)
        self.head.addWidget(self.title)
        self.head.addWidget(self.state)
        self.head.addStretch(1)
        self.head.addWidget(self.age)
        self.body = QVBoxLayout()
        self.body.setSpacing(8)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 12, 8)
        column.setSpacing(8)
        column.addWidget(self.line)
        column.addLayout(self.head)
        column.addWidget(self.problem)
        column.addLayout(self.body, 1)
        self.set_title(title)

    def set_title(self, title: str) -> None:
        """What the panel is about, with the service and environment where there are some."""
        self.title.setText(plain(title, 200))
        self.setAccessibleName(plain(title, 200))

    def set_age(self, at_us: int, now_us: int, deadline_s: float = 0.0) -> bool:
        """Show how old the data is; answers whether it is stale (older than the deadline, where there is one)."""
        age_s = (now_us - at_us) / 1e6 if at_us else None
        stale = bool(deadline_s) and (age_s is None or age_s > deadline_s)
        self.age.setText(("stale, " if stale else "") + (f"{age_text(age_s)} old" if age_s is not None else "never seen"))
        self.age.setToolTip(tooltip_text(f"{as_of_text(at_us)}\n{time_tooltip(at_us)}"))
        return stale

    def set_state(self, word: str, text: str = "") -> None:
        """A state beside the title; "" hides it."""
        self.state.show_state(word, text)
        self.state.setVisible(bool(word))

    def set_loading(self, loading: bool) -> None:
        """The thin line at the top moves; what was there stays."""
        self.line.set_busy(loading)

    def set_problem(self, title: str = "", message: str = "", hint: str = "") -> None:
        """Say what failed and the way out, above the data that is kept; without a title it goes."""
        self.problem.setVisible(bool(title))
        if title:
            self.problem.show_state("failed", " ".join(p for p in (f"{title}:" if message else title, message, hint) if p))

    def paintEvent(self, event: QPaintEvent) -> None:
        """The surface and its edge."""
        theme = theme_of(self)
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(theme.line, 1))
            painter.setBrush(theme.surface)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)


def _label(face: Any, parent: QWidget, muted: bool = False) -> QLabel:
    """A label for plain text only."""
    label = QLabel(parent)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setFont(face)
    if muted:
        label.setForegroundRole(label.palette().ColorRole.PlaceholderText)
    return label


def plain_label(text: str = "", role: str = "body", muted: bool = False, parent: QWidget | None = None) -> QLabel:
    """A label in a role's font that never takes its text for markup."""
    label = QLabel(parent)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setFont(font(role))
    label.setText(plain(text))
    if muted:
        label.setForegroundRole(label.palette().ColorRole.PlaceholderText)
    return label
