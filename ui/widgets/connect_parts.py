"""Parts of the connection's form that every kind has: for which services it is, and where its token comes from."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QComboBox, QLineEdit, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from cockpit.domain.connection import KindField
from ui.models.text import plain
from ui.widgets.field_form import FieldRow
from ui.widgets.texts import NOTE, Row, Text

_NAME = Qt.ItemDataRole.UserRole
LINES = 3
KEPT = "left as it is; type one to replace it"
NAMES = KindField("services", "Services", description="What this repository releases: names, separated by commas.")


class ServicesBox(QWidget):
    """All services, or some of them. Where none is known yet, their names are typed. `changed`: another choice."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = Text("For which services", ink="muted", elide=False, parent=self)
        self.scope = QComboBox(self)
        self.scope.setAccessibleName("For which services")
        self.scope.addItem("All services")
        self.scope.addItem("Only those chosen below")
        self.list = QListWidget(self)
        self.list.setSelectionMode(QListWidget.SelectionMode.MultiSelection)
        self.list.setAccessibleName("Services that this connection is for")
        self.list.setFixedHeight(LINES * 28 + 2)
        self.names = FieldRow(NAMES, self)
        self.note = Row(self)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(4)
        for widget in (self.title, self.scope, self.list, self.names, self.note):
            box.addWidget(widget)
        self.note.hide()
        self._typed = False
        self.scope.currentIndexChanged.connect(self._scoped)
        self.list.itemSelectionChanged.connect(self._changed)
        self.names.changed.connect(self._changed)

    def set_services(self, known: Sequence[str], chosen: Sequence[str], typed: bool) -> None:
        """Offer these; `typed`: there is no settings file yet, so they are named here."""
        self._typed = typed
        self.list.blockSignals(True)
        self.list.clear()
        for name in (*known, *(c for c in chosen if c not in known)):
            item = QListWidgetItem(plain(name, 60), self.list)
            item.setData(_NAME, name)
            item.setSizeHint(QSize(0, 28))
            item.setSelected(name in chosen)
        self.list.blockSignals(False)
        self.scope.setCurrentIndex(1 if chosen else 0)
        self.names.setVisible(typed)
        for widget in (self.title, self.scope):
            widget.setVisible(not typed)
        self.list.setVisible(not typed and bool(chosen))

    def chosen(self) -> tuple[str, ...]:
        """The services by name; none means all."""
        if self._typed:
            return tuple(dict.fromkeys(n.strip() for n in self.names.value.split(",") if n.strip()))
        if self.everything:
            return ()
        items = [self.list.item(i) for i in range(self.list.count())]
        return tuple(i.data(_NAME) for i in items if i.isSelected())

    @property
    def everything(self) -> bool:
        """Whether it is for all services."""
        return self.scope.currentIndex() == 0

    @property
    def problem(self) -> str:
        """What is missing here."""
        if self.chosen() or (not self._typed and self.everything):
            return ""
        return "Name the services that it releases" if self._typed else "Choose at least one service, or all"

    def show_problem(self, words: str) -> None:
        """What is wrong with the choice."""
        self.note.set_row("blocked" if words else "", words)
        self.note.setVisible(bool(words))

    def _scoped(self, index: int) -> None:
        self.list.setVisible(not self.everything and not self._typed)
        self.changed.emit()

    def _changed(self, *_: object) -> None:
        self.changed.emit()


class TokenBox(QWidget):
    """The token: into the keyring, or from an environment variable. Never shown again. `changed`: something was typed."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.field: KindField | None = None
        self._kept = False
        self.title = Text(ink="muted", elide=False, parent=self)
        self.where = QComboBox(self)
        self.where.setAccessibleName("Where the token comes from")
        self.where.addItem("In the keyring", "keyring")
        self.where.addItem("From an environment variable", "variable")
        self.secret = QLineEdit(self)
        self.secret.setMaxLength(10_000)
        self.secret.setEchoMode(QLineEdit.EchoMode.Password)
        hints = Qt.InputMethodHint.ImhHiddenText | Qt.InputMethodHint.ImhSensitiveData | Qt.InputMethodHint.ImhNoPredictiveText
        self.secret.setInputMethodHints(hints)
        self.variable = QLineEdit(self)
        self.variable.setPlaceholderText("Name of the variable, such as CI_TOKEN")
        self.variable.setAccessibleName("Name of the environment variable")
        self.note = Row(self)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(4)
        for widget in (self.title, self.where, self.secret, self.variable, self.note):
            box.addWidget(widget)
        self.where.currentIndexChanged.connect(self._switched)
        self.secret.textChanged.connect(self._changed)
        self.variable.textChanged.connect(self._changed)

    def set_field(self, field: KindField | None, variable: str = "", kept: bool = False, only: bool = False) -> None:
        """Ask for this token; None: the kind needs none. `kept`: there may be one already. `only`: nothing but the keyring."""
        self.field, self._kept = field, kept
        self.clear()
        if field is None:
            return
        name = plain(field.title, 60)
        self.title.set_text(name if field.required or only else f"{name} (optional)")
        self.secret.setAccessibleName(name)
        self.secret.setPlaceholderText(KEPT if kept else plain(field.description, 100))
        self.variable.setText(variable)
        self.where.setCurrentIndex(1 if variable and not only else 0)
        self.where.setVisible(not only)
        self._switched()

    def clear(self) -> None:
        """Forget what was typed."""
        self.secret.clear()
        self.variable.clear()

    @property
    def token(self) -> str:
        """What was typed for the keyring."""
        return self.secret.text().strip() if self.where.currentIndex() == 0 else ""

    @property
    def token_env(self) -> str:
        """The variable's name."""
        return self.variable.text().strip() if self.where.currentIndex() == 1 else ""

    @property
    def problem(self) -> str:
        """What is missing here."""
        if self.field is None:
            return ""
        if self.where.currentIndex() == 1:
            return "" if self.token_env else "Name the environment variable"
        return f"{self.field.title} is needed" if self.field.required and not self.token and not self._kept else ""

    def show_note(self, state: str, words: str) -> None:
        """What is to be said of it: a problem, or the keyring's state."""
        self.note.set_row(state or NOTE, words)
        self.note.setVisible(bool(words))

    def _switched(self, *_: object) -> None:
        variable = self.where.currentIndex() == 1
        self.secret.setVisible(not variable)
        self.variable.setVisible(variable)
        self.changed.emit()

    def _changed(self, *_: object) -> None:
        self.changed.emit()
