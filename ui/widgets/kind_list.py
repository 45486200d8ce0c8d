"""The kinds of connections to choose from: by what they are for, and found by typing."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QLineEdit, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from cockpit.domain.connection import Kind
from ui.bridge import guarded
from ui.models.text import plain, tooltip_text
from ui.theme import font, theme_of

_KIND = Qt.ItemDataRole.UserRole


class KindList(QWidget):
    """`chosen` carries a Kind."""

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.search = QLineEdit(self)
        self.search.setPlaceholderText("Find a system")
        self.search.setAccessibleName("Find a kind of connection")
        self.search.setClearButtonEnabled(True)
        self.list = QListWidget(self)
        self.list.setAccessibleName("Kinds of connections")
        self.list.setFrameShape(QFrame.Shape.NoFrame)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setUniformItemSizes(False)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self._kinds: tuple[Kind, ...] = ()
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(8)
        box.addWidget(self.search)
        box.addWidget(self.list, 1)
        self.search.textChanged.connect(self._fill)
        self.search.installEventFilter(self)
        self.list.currentItemChanged.connect(self._changed)

    def set_kinds(self, kinds: Sequence[Kind]) -> None:
        """Offer these, in this order."""
        self._kinds = tuple(kinds)
        self._fill(self.search.text())

    def shown(self) -> tuple[str, ...]:
        """The kinds that can be chosen now."""
        items = [self.list.item(i) for i in range(self.list.count())]
        return tuple(item.data(_KIND).kind for item in items if item.data(_KIND) is not None)

    def choose(self, kind: str) -> None:
        """Choose the kind of that name."""
        for i in range(self.list.count()):
            found = self.list.item(i).data(_KIND)
            if found is not None and found.kind == kind:
                self.list.setCurrentRow(i)

    def _fill(self, text: str) -> None:
        words = text.casefold().split()
        kept = [k for k in self._kinds if all(word in _haystack(k) for word in words)]
        current = self.list.currentItem()
        before = current.data(_KIND) if current is not None else None
        self.list.blockSignals(True)
        self.list.clear()
        for group in dict.fromkeys(k.group for k in kept):
            self._add_group(group)
            for kind in (k for k in kept if k.group == group):
                self._add_kind(kind, kind == before)
        if not kept:
            self._add_group("No kind fits; see the guide for systems of your own")
        self.list.blockSignals(False)
        if words and kept and before not in kept:
            self.choose(kept[0].kind)

    def _add_group(self, words: str) -> None:
        item = QListWidgetItem(words, self.list)
        item.setFlags(Qt.ItemFlag.NoItemFlags)
        item.setFont(font("muted"))
        item.setSizeHint(QSize(0, 30))
        item.setTextAlignment(Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignLeft)
        item.setForeground(theme_of(self).muted)

    def _add_kind(self, kind: Kind, current: bool) -> None:
        item = QListWidgetItem(f"  {plain(kind.title, 80)}", self.list)
        item.setData(_KIND, kind)
        item.setSizeHint(QSize(0, 28))
        item.setToolTip(tooltip_text(f"{kind.title}: {', '.join(kind.words)}"))
        item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{kind.title}, {kind.group}")
        if current:
            self.list.setCurrentItem(item)

    def _changed(self, item: QListWidgetItem | None, before: QListWidgetItem | None) -> None:
        if item is not None and item.data(_KIND) is not None:
            self.chosen.emit(item.data(_KIND))

    @guarded
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Down goes from the search into the list."""
        if (
            watched is self.search
            and isinstance(event, QKeyEvent)
            and event.type() == QEvent.Type.KeyPress
            and event.key() == Qt.Key.Key_Down
        ):
            self.list.setFocus(Qt.FocusReason.TabFocusReason)
            rows = [i for i in range(self.list.count()) if self.list.item(i).data(_KIND) is not None]
            if rows and self.list.currentRow() not in rows:
                self.list.setCurrentRow(rows[0])
            return True
        return super().eventFilter(watched, event)


def _haystack(kind: Kind) -> str:
    return " ".join((kind.kind, kind.title, kind.group, *kind.words)).casefold()
