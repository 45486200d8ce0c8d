"""A form made from the fields of a kind of connection: each with its title, its editor, and below it what it is for or what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLineEdit, QMenu, QPushButton, QVBoxLayout, QWidget

from cockpit.domain.connection import KindField
from ui.models.text import plain
from ui.widgets.texts import NOTE, Row, Text

LONGEST = 100_000  # lists of places are long; a longer value would be saved cut off


class FieldRow(QWidget):
    """One field. `changed` carries its name."""

    changed = Signal(str)

    def __init__(self, field: KindField, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.field = field
        self.touched = False
        title = plain(field.title, 60)
        optional = not field.required or field.default
        self.title = Text(f"{title} (optional)" if optional else title, ink="muted", elide=False, parent=self)
        self.editor: QLineEdit | QComboBox = _choice(field, self) if field.kind == "choice" else _line(field, self)
        self.editor.setAccessibleName(title)
        self.editor.setAccessibleDescription(plain(field.description, 300))
        self.note = Row(self)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(2)
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(self.editor, 1)
        if field.kind == "path":
            self.browse = _browse_button(title, self)
            line.addWidget(self.browse)
        box.addWidget(self.title)
        box.addLayout(line)
        box.addWidget(self.note)
        self.show_problem("")
        signal = self.editor.currentTextChanged if isinstance(self.editor, QComboBox) else self.editor.textChanged
        signal.connect(self._changed)

    @property
    def value(self) -> str:
        """What stands in it."""
        return self.editor.currentText() if isinstance(self.editor, QComboBox) else self.editor.text()

    def set_value(self, value: str) -> None:
        """Put this in; it counts as not touched."""
        if isinstance(self.editor, QComboBox):
            self.editor.setCurrentText(value or self.field.default)
        else:
            self.editor.setText(value)
        self.touched = False

    def show_problem(self, words: str) -> None:
        """What is wrong; "" shows what the field is for again."""
        if words:
            self.note.set_row("blocked", f"{self.field.title} {plain(words, 300)}")
        else:
            self.note.set_row(NOTE, plain(self.field.description, 300))
        self.note.setVisible(bool(words or self.field.description))

    def _changed(self, text: str) -> None:
        self.touched = True
        self.changed.emit(self.field.name)

    def pick_file(self) -> None:
        """Choose a file."""
        self._pick(QFileDialog.FileMode.ExistingFile)

    def pick_folder(self) -> None:
        """Choose a folder."""
        self._pick(QFileDialog.FileMode.Directory)

    def _pick(self, mode: QFileDialog.FileMode) -> None:
        dialog = QFileDialog(self.window(), f"Choose: {self.field.title}", self.value)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(mode)
        dialog.fileSelected.connect(self._picked)
        dialog.open()

    def _picked(self, path: str) -> None:
        if isinstance(self.editor, QLineEdit):
            self.editor.setText(path)


def _line(field: KindField, parent: QWidget) -> QLineEdit:
    line = QLineEdit(parent)
    line.setMaxLength(LONGEST)
    if field.kind == "secret":
        # never echoed, and nothing of it is offered to an input method that learns
        line.setEchoMode(QLineEdit.EchoMode.Password)
        hints = Qt.InputMethodHint.ImhHiddenText | Qt.InputMethodHint.ImhSensitiveData | Qt.InputMethodHint.ImhNoPredictiveText
        line.setInputMethodHints(hints)
    line.setPlaceholderText(plain(field.default, 100) or ("https://" if field.kind == "url" else ""))
    return line


def _choice(field: KindField, parent: QWidget) -> QComboBox:
    box = QComboBox(parent)
    box.addItems([*([] if field.default else [""]), *field.choices])
    box.setCurrentText(field.default)
    return box


def _browse_button(title: str, row: FieldRow) -> QPushButton:
    browse = QPushButton("Browse", row)
    browse.setAccessibleName(f"Browse for {title}")
    browse.setAutoDefault(False)
    menu = QMenu(browse)
    menu.addAction("A file", row.pick_file)
    menu.addAction("A folder", row.pick_folder)
    browse.setMenu(menu)
    return browse


class FieldForm(QWidget):
    """The fields of one kind: the needed ones first, the others behind one button. `changed`: something was typed."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: dict[str, FieldRow] = {}
        self.later: tuple[str, ...] = ()
        self.more = QPushButton(self)
        self.more.setCheckable(True)
        self.more.setAutoDefault(False)
        self.more.setProperty("role", "link")
        self.more.toggled.connect(self._show_more)
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(8)
        self._box.addWidget(self.more, 0, Qt.AlignmentFlag.AlignLeft)

    def set_fields(self, fields: Sequence[KindField], values: Mapping[str, str]) -> None:
        """Ask for these."""
        for row in self.rows.values():
            self._box.removeWidget(row)
            row.hide()
            row.deleteLater()
        self.rows = {}
        first = [f for f in fields if _needed(f)]
        later = [f for f in fields if not _needed(f)]
        for place, field in enumerate((*first, *later)):
            row = self.rows[field.name] = FieldRow(field, self)
            row.set_value(values.get(field.name, ""))
            row.changed.connect(self._changed)
            self._box.insertWidget(place if _needed(field) else place + 1, row)
        self.more.setVisible(bool(later))
        self.later = tuple(f.name for f in later)
        used = any(values.get(f.name, "") not in ("", f.default) for f in later)
        self.more.setChecked(used)
        self._show_more(used)

    def _show_more(self, shown: bool) -> None:
        count = len(self.later)
        self.more.setText(f"{'▾' if shown else '▸'} {count} more {'option' if count == 1 else 'options'}")
        self.more.setAccessibleName(f"{count} more options, {'shown' if shown else 'hidden'}")
        for name in self.later:
            self.rows[name].setVisible(shown)

    def values(self) -> dict[str, str]:
        """What was typed, without what is empty."""
        return {name: row.value for name, row in self.rows.items() if row.value.strip()}

    def show_problems(self, problems: Mapping[str, str], all_of_them: bool = False) -> None:
        """Say what is wrong at the fields that were touched."""
        for name, row in self.rows.items():
            words = problems.get(name, "") if row.touched or all_of_them else ""
            row.show_problem(words)
            if words and name in self.later and not self.more.isChecked():
                self.more.setChecked(True)

    def _changed(self, name: str) -> None:
        self.changed.emit()


def _needed(field: KindField) -> bool:
    return field.required and not field.default
