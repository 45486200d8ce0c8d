"""A small form in the place of the card's body: what is about to be said, its end where it has one, and the reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from cockpit.domain.errors import CockpitError
from ui.models.trust import hours_text
from ui.widgets.card_button import ReasonLine
from ui.widgets.texts import Row, RowContent, RowList, Text, scrolled


class Ask(Struct, frozen=True):
    """What a form asks for. `act` gets the reason and the seconds until its end (0 without `ends_s`); it raises CockpitErrors."""

    title: str
    rows: Sequence[RowContent]
    ok: str
    act: Callable[[str, float], None]
    done: str
    needed: bool = True
    ends_s: tuple[float, ...] = ()


class FormPage(QWidget):
    """`closed` carries what was done, "" where the person went back."""

    closed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ask: Ask | None = None
        self.setAccessibleName("Form")
        self.title = Text(role="title", parent=self)
        self.rows = RowList("What this does", self)
        self.until = Text(ink="muted", elide=False, parent=self)
        self.until.set_text("Until, from now on")
        self.end = QComboBox(self)
        self.end.setAccessibleName("Until, from now on")
        self.reason = ReasonLine(self)
        self.say = Row(self)
        self.say.hide()
        self.ok = QPushButton(self)
        self.ok.setProperty("role", "primary")
        self.cancel = QPushButton("Back", self)
        for button in (self.ok, self.cancel):
            button.setFixedHeight(32)
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 8, 0, 0)
        box.setSpacing(8)
        box.addWidget(self.title)
        box.addWidget(scrolled(self.rows, self), 1)
        for widget in (self.until, self.end, self.reason, self.say):
            box.addWidget(widget)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.cancel)
        row.addWidget(self.ok, 1)
        box.addLayout(row)

    def _connect(self) -> None:
        self.ok.clicked.connect(self.send)
        self.cancel.clicked.connect(self.leave)
        self.reason.returnPressed.connect(self.send)

    @property
    def open(self) -> bool:
        """Whether it asks for something now."""
        return self._ask is not None

    def show_ask(self, ask: Ask) -> None:
        """Ask for this; the keyboard goes to the reason."""
        self._ask = ask
        self.title.set_text(ask.title)
        self.rows.set_rows(ask.rows)
        self.ok.setText(ask.ok.replace("&", "&&"))
        self.ok.setAccessibleName(ask.ok)
        self.end.clear()
        for seconds in ask.ends_s:
            self.end.addItem(hours_text(seconds), seconds)
        for widget in (self.until, self.end):
            widget.setVisible(bool(ask.ends_s))
        self.reason.clear()
        self.reason.demand(ask.needed)
        self.say.hide()
        self.reason.setFocus(Qt.FocusReason.OtherFocusReason)

    def send(self) -> None:
        """Do it; what is refused is said here and nothing is lost."""
        ask = self._ask
        if ask is None:
            return
        if ask.needed and not self.reason.words:
            self._refused("Write the reason first: it stands beside your name.")
            self.reason.setFocus(Qt.FocusReason.OtherFocusReason)
            return
        try:
            ask.act(self.reason.words, float(self.end.currentData() or 0.0))
        except CockpitError as error:
            self._refused(f"{error.title}: {error.message} {error.hint}".strip())
            return
        self._close(ask.done)

    def leave(self) -> None:
        """Back, and nothing was said."""
        self._close("")

    def _close(self, words: str) -> None:
        self._ask = None
        self.closed.emit(words)

    def _refused(self, words: str) -> None:
        self.say.set_row("blocked", words)
        self.say.show()

    def as_text(self) -> str:
        """The form as plain text."""
        return "\n".join(p for p in (self.title.whole, self.rows.as_text, self.say.as_text if not self.say.isHidden() else "") if p)
