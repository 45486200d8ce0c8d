"""Notices: everything that was told. What belongs together stands together, the worst on top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace
from PySide6 import QtCore
from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QWidget

from cockpit.services.incidents import Incident, acknowledge, incidents
from cockpit.services.notices import Notice
from ui.bridge import guarded
from ui.models.columns import notice_columns
from ui.models.table import Column
from ui.models.text import clock_text, count_text, plain, plain_lines, plural
from ui.views.base import View, bar, button
from ui.widgets.notice_bar import LOOK, LOOK_TIP, looks_text
from ui.widgets.table_view import TableView
from ui.widgets.texts import NOTE, RowList, Text, scrolled

if TYPE_CHECKING:
    from cockpit.app import Cockpit

DETAIL_LINES = 6  # a notice, its way out, and how it came to that
PERIOD_MS = 200  # a thousand notices at once are a few looks
WIDTHS = {"Time": 120, "Severity": 140}
WIDE = 900  # from here on there is room for the message in the table; it stands below it always
_FOLDED, _UNFOLDED, _INSIDE = "▸", "▾", "   "


class Line(Struct, frozen=True):
    """A row: a notice, and where it is the worst of several, their incident. `mark` shows whether the others can be seen."""

    key: str
    notice: Notice
    incident: Incident
    mark: str = ""

    @property
    def folds(self) -> bool:
        """Whether others stand behind it."""
        return self.mark in (_FOLDED, _UNFOLDED)


class NoticesView(View):
    """The history. `went` names the place that a notice is about; `closed` leads back to where one came from."""

    kinds = frozenset(["notices"])
    went = Signal(str)
    closed = Signal()

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(cockpit, parent)
        self.setAccessibleName("Notices")
        self._unfolded: set[int] = set()
        self._again = False
        self.count = Text(ink="muted", parent=self)
        self.fold_button = button("Unfold", self, tip="The others of this incident; Enter, Left and Right do it too")
        self.look_button = button(LOOK, self, tip=LOOK_TIP)
        self.close_button = button("Back", self)
        self.table = TableView(_columns(), lambda line: line.key, "Notices", self)
        self.table.set_empty("Nothing to tell", "Errors, warnings and news stand here; what belongs together stands together.")
        self.table.installEventFilter(self)
        self.detail = RowList("The selected notice", self)
        self.box.addLayout(bar(self.count, self.fold_button, self.look_button, self.close_button))
        self.box.addWidget(self.table, 1)
        self.box.addWidget(scrolled(self.detail, self, DETAIL_LINES))
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PERIOD_MS)
        self._connect()

    def _connect(self) -> None:
        self.detail.went.connect(self.went)
        self.fold_button.clicked.connect(self._fold_selected)
        self.look_button.clicked.connect(self._look)
        self.close_button.clicked.connect(self.closed)
        self.table.row_selected.connect(self._selected)
        self.table.row_activated.connect(self._activated)
        self._pause.timeout.connect(self._paused)
        key = QShortcut(QKeySequence("L"), self)
        key.setContext(QtCore.Qt.ShortcutContext.WidgetWithChildrenShortcut)
        key.activated.connect(self._look)

    def set_filter(self, text: str) -> None:
        """Only notices that match; while there is a filter nothing is folded away from it."""
        if text != self.table.rows_model.filter_text:
            self.table.set_filter(text)
            self.read()

    def read(self) -> None:
        """Now, and after a burst once more."""
        if self._pause.isActive():
            self._again = True
            return
        super().read()
        if self.isVisible():
            self._pause.start()

    def _paused(self) -> None:
        if self._again:
            self._again = False
            self.read()

    def refresh(self) -> None:
        """Read the history."""
        history = self.cockpit.notices.history
        found = incidents(history, self.cockpit.notices.first)
        self._unfolded &= {i.id for i in found}
        lines = [line for incident in found for line in self._lines(incident)]
        self.table.set_rows(lines)
        self.count.set_text(f"{plural(len(history), 'notice')}, {count_text(sum(n.over for n in history))} over")
        if lines and self.table.selected() is None:
            self.table.select(lines[0].key)
        self._selected(self.table.selected())

    def _lines(self, incident: Incident) -> list[Line]:
        key = f"incident {incident.id}"
        if len(incident.notices) == 1:
            return [Line(key, incident.worst, incident)]
        if incident.id not in self._unfolded and not self.table.rows_model.filter_text:
            return [Line(key, incident.worst, incident, _FOLDED)]
        inside = (Line(f"notice {n.id}", n, incident, _INSIDE) for n in incident.notices[1:])
        return [Line(key, incident.worst, incident, _UNFOLDED), *inside]

    # -- the selected one ----------------------------------------------------------------------------------------------------

    def _selected(self, line: Any) -> None:
        self.detail.set_rows(_detail(line.notice) if line is not None else [])
        folds = line is not None and line.folds
        self.fold_button.setEnabled(folds)
        self.fold_button.setText("Fold" if folds and line.mark == _UNFOLDED else "Unfold")
        self.look_button.setEnabled(line is not None and any(n.stands and not n.looker for n in line.incident.notices))

    def _activated(self, line: Any) -> None:
        if line.folds:
            self._fold(line, line.mark == _UNFOLDED)
        elif line.notice.place:
            self.went.emit(line.notice.place)

    def _fold_selected(self) -> None:
        line = self.table.selected()
        if line is not None and line.folds:
            self._fold(line, line.mark == _UNFOLDED)

    def _fold(self, line: Line, shut: bool) -> None:
        (self._unfolded.discard if shut else self._unfolded.add)(line.incident.id)
        self.refresh()
        self.table.select(f"incident {line.incident.id}")

    def _look(self) -> None:
        line = self.table.selected()
        if line is not None:
            acknowledge(self.cockpit, line.notice)
            self.refresh()
            self.table.setFocus()  # the button is done, and what is beside it leads away

    @guarded
    def eventFilter(self, watched: QObject, event: QtCore.QEvent) -> bool:
        """Left and Right fold and unfold, as in a tree."""
        if watched is self.table and event.type() == QtCore.QEvent.Type.KeyPress:
            key, line = event.key(), self.table.selected()  # type: ignore[attr-defined]
            if key in (QtCore.Qt.Key.Key_Left, QtCore.Qt.Key.Key_Right) and line is not None and line.mark:
                self._fold(line, key == QtCore.Qt.Key.Key_Left)
                return True
        return super().eventFilter(watched, event)

    @guarded
    def resizeEvent(self, event: Any) -> None:
        """A narrow table shows what it is about, whole, rather than halves of two columns."""
        super().resizeEvent(event)
        number = next(i for i, column in enumerate(self.table.rows_model.columns) if column.title == "Message")
        self.table.setColumnHidden(number, self.width() < WIDE)

    @guarded
    def hideEvent(self, event: Any) -> None:
        """What comes while it is hidden is read when it is shown."""
        self._pause.stop()
        self._again = False
        super().hideEvent(event)


def _detail(n: Notice) -> list[tuple[str, str, str, str]]:
    """What it says, the way out, who looks at it, and how it came to that, the newest first."""
    rows = [("over" if n.over else str(n.severity), f"{plain(n.title)}: {plain(n.message)}", "", n.place)]
    if n.hint:
        rows.append(("", f"Way out: {plain(n.hint)}", "", ""))
    if n.looker:
        rows.append((NOTE, f"S{looks_text(n)[1:]}, since {clock_text(n.looked_us)}", "", ""))
    if n.count > 1:
        rows.append((NOTE, f"Told {count_text(n.count)} times, first {clock_text(n.since_us)}, last {clock_text(n.at_us)}", "", ""))
    past = [f"{clock_text(t.at_us)}  {t.severity}: {plain(t.title)}: {plain(t.message)}" for t in reversed(n.story)]
    return [*rows, *((NOTE, words, "", "") for words in past)]


def _columns() -> tuple[Column, ...]:
    """The way out of the selected notice stands below the table, where there is room for it."""
    columns = (c for c in notice_columns() if c.title != "Way out")
    return tuple(_of_line(replace(c, width=WIDTHS.get(c.title, c.width), stretch=c.title in ("What", "Message"))) for c in columns)


def _of_line(column: Column) -> Column:
    """The same for a line in place of its notice."""
    readers = {name: getattr(column, name) for name in ("text", "sort_key", "tooltip", "state")}
    changed: dict[str, Any] = {name: _on_notice(reader) for name, reader in readers.items() if reader is not None}
    if column.title == "What":
        changed |= {"text": _what_text, "tooltip": _what_tip, "copy": lambda line: plain(line.notice.title)}
    if column.title == "Severity":
        changed |= {"text": _severity_text, "state": lambda line: "over" if line.notice.over else str(line.notice.severity)}
    return replace(column, **changed)


def _on_notice(reader: Any) -> Any:
    return lambda line: reader(line.notice)


def _what_text(line: Line) -> str:
    more = f" +{len(line.incident.notices) - 1}" if line.folds else ""
    return f"{line.mark} {plain(line.notice.title)}{more}".strip(" ") if line.mark != _INSIDE else f"{_INSIDE} {plain(line.notice.title)}"


def _what_tip(line: Line) -> str:
    return plain_lines(f"{line.notice.title}\n{line.notice.message}\n{line.notice.hint}", 2000)


def _severity_text(line: Line) -> str:
    n = line.notice
    return f"{n.severity}, over" if n.over else f"{n.severity}, seen" if n.looker else str(n.severity)
