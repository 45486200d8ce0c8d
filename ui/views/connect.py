"""Adding a connection, changing one, or giving it another token: a dialog beside the work. Nothing is saved before "Save"."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QApplication, QDialog, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from cockpit.domain.connection import Draft, Kind, KindField
from cockpit.domain.errors import CockpitError
from ui.models.connect import error_rows, kept_words, trial_rows
from ui.models.text import plain
from ui.theme import font
from ui.views.base import bar, button
from ui.widgets.connect_parts import ServicesBox, TokenBox
from ui.widgets.field_form import FieldForm, FieldRow
from ui.widgets.kind_list import KindList
from ui.widgets.texts import NOTE, Row, RowList, Text, scrolled

if TYPE_CHECKING:
    from cockpit.services.runtime import Outcome

NAME = KindField("id", "Name", description="How it is called here, such as “ci”.")
FIRST = "You see the playground. The first connection makes a settings file of your own, and the window turns to it."
CHOOSE = "Choose what to connect, or type what it does. It can be tested before anything is saved; a token goes into the keyring only."
CODE_FIRST = "Begin with your code: choose a repository or a forge"
RESULT_LINES = 4


class ConnectDialog(QDialog):
    """Not modal; Esc closes it, and then nothing was saved. `saved`: the connection's id, a state and words.

    With a draft it changes that connection; `token_only`: nothing but its token.
    """

    saved = Signal(str, str, str)

    def __init__(self, systems: Any, draft: Draft | None = None, parent: QWidget | None = None, *, token_only: bool = False) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._systems, self._before, self._token_only = systems, draft, token_only
        self.kind: Kind | None = None
        self._turn = 0  # answers to what was asked before the last change are let go
        self._tested: tuple[Any, ...] | None = None
        self._busy = self._over = False
        title = "Add a connection" if draft is None else f"{'New token for' if token_only else 'Change'} {plain(draft.id, 60)}"
        self.setWindowTitle(title)
        self._build(title)
        self._lay_out()
        self._connect()
        self.resize(920 if draft is None else 620, 300 if token_only else 680)
        systems.offer(self._offered)

    def _build(self, title: str) -> None:
        self.kinds = KindList(self)
        self.kinds.setFixedWidth(272)
        self.heading = Text(title, role="title", parent=self)
        self.gives, self.needs, self.besides = Row(self), Row(self), Row(self)
        self.name = FieldRow(NAME, self)
        self.form = FieldForm(self)
        self.services = ServicesBox(self)
        self.token = TokenBox(self)
        self.found = RowList("What the test found", self)
        self.found_area = scrolled(self.found, self, RESULT_LINES)
        self.copy_button = button("Copy as TOML", self, tip="The connection as it would stand in cockpit.toml; no token is in it")
        self.cancel_button = button("Cancel", self)
        self.test_button = button("Test connection", self)
        self.save_button = button("Save", self, role="primary")

    def _lay_out(self) -> None:
        body = QWidget(self)
        fields = QVBoxLayout(body)
        fields.setContentsMargins(0, 0, 8, 0)
        fields.setSpacing(12)
        self.parts: tuple[QWidget, ...] = (self.name, self.form, self.services, self.token)
        words = QVBoxLayout()
        words.setSpacing(0)
        for row in (self.gives, self.needs, self.besides):
            words.addWidget(row)
        fields.addLayout(words)
        for part in self.parts:
            fields.addWidget(part)
        body.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        right = QVBoxLayout()
        right.setSpacing(8)
        right.addWidget(self.heading)
        right.addWidget(scrolled(body, self), 1)
        right.addWidget(self.found_area)
        right.addLayout(bar(self.copy_button, None, self.cancel_button, self.test_button, self.save_button))
        whole = QHBoxLayout(self)
        whole.setContentsMargins(16, 16, 16, 16)
        whole.setSpacing(16)
        whole.addWidget(self.kinds)
        whole.addLayout(right, 1)
        self.kinds.setVisible(self._before is None)
        for part in self.parts:
            part.hide()
        self.gives.set_row(NOTE, CHOOSE if self._before is None else "")
        self.needs.hide()
        self.besides.hide()
        if self._token_only:
            self.found_area.setFixedHeight(3 * (QFontMetrics(font("body")).height() + 6))

    def _connect(self) -> None:
        self.kinds.chosen.connect(self._choose)
        for part in (self.form, self.services, self.token):
            part.changed.connect(self._changed)
        self.name.changed.connect(self._changed)
        self.copy_button.clicked.connect(self._copy)
        self.cancel_button.clicked.connect(self.close)
        self.test_button.clicked.connect(self._test)
        self.save_button.clicked.connect(self._save)
        self.finished.connect(self._ended)

    # ---- what is asked for

    def _offered(self, outcome: Outcome[Any]) -> None:
        if self._over:
            return
        if outcome.value is None:
            self.found.set_rows(error_rows(outcome.error))
            return
        if self._before is None:
            self.kinds.set_kinds(outcome.value.kinds)
            self.kinds.search.setFocus(Qt.FocusReason.OtherFocusReason)
            self.found.set_rows([("warning", f"{plain(e.message)} {plain(e.hint)}", "", "") for e in outcome.value.broken])
            self._judge()
            return
        try:
            self._choose(outcome.value.kind(self._before.kind))
        except CockpitError as error:
            self.found.set_rows(error_rows(error))
            self._judge()

    def _choose(self, kind: Kind) -> None:
        self.kind, before = kind, self._before
        if before is None:
            self.heading.set_text(kind.title)
            self.name.set_value(self._free_name(kind.kind))
        self._describe(kind)
        self.form.set_fields(kind.plain, before.options if before is not None else {})
        self.services.set_services(self._systems.services, before.services if before is not None else (), self._systems.first)
        variable = before.token_env if before is not None else ""
        # where a variable gave it until now, the keyring holds none
        self.token.set_field(kind.secret, variable, kept=before is not None and not variable, only=self._token_only)
        shown = {self.form: True, self.services: True, self.token: kind.secret is not None, self.name: before is None}
        for part, visible in shown.items():
            part.setVisible(visible and (not self._token_only or part is self.token))
        for order in _order(self):
            QWidget.setTabOrder(*order)
        if before is not None:
            (self.token.secret if self._token_only else _first_line(self.form)).setFocus(Qt.FocusReason.OtherFocusReason)
        self._changed()

    def _describe(self, kind: Kind) -> None:
        self.gives.set_row(NOTE, f"Gives: {', '.join(kind.words)}.")
        self.needs.set_row(NOTE, f"Needs the right to: {'; '.join(kind.rights)}." if kind.rights else "")
        origin = f"It comes from {kind.origin}, not with Release Cockpit." if kind.origin else ""
        self.besides.set_row(*(("warning", origin) if origin else ("running", FIRST) if self._systems.first else ("", "")))
        for row in (self.gives, self.needs, self.besides):
            row.setVisible(bool(row.as_text) and not self._token_only)

    def _free_name(self, wanted: str) -> str:
        taken, name, number = self._systems.names, wanted, 2
        while name in taken:
            name, number = f"{wanted}-{number}", number + 1
        return name

    def draft(self) -> Draft:
        """What stands in the form."""
        before = self._before
        kind = self.kind.kind if self.kind is not None else ""
        if before is not None and self._token_only:
            return before
        name, stands = (self.name.value.strip(), None) if before is None else (before.id, before.before)
        return Draft(name, kind, self.form.values(), self.services.chosen(), self.token.token_env, stands)

    # ---- what is wrong, and what may be done

    def _changed(self, *_: object) -> None:
        self._turn += 1
        if self._tested is not None or self._busy:
            self._tested, self._busy = None, False
        self._judge()

    def _wanting(self) -> list[str]:
        """Everything that stands in the way of saving, each in words, told at its field too."""
        if self.kind is None:
            return ["Choose what to connect."]
        found = {} if self._token_only else self._systems.problems(self.draft(), self.kind)
        self.form.show_problems(found)
        self.name.show_problem(found.get("id", "") if self.name.touched else "")
        self.services.show_problem(found.get("services", ""))
        self.token.show_note("blocked" if "token_env" in found else "", found.get("token_env", "") or self._keyring())
        titles = {f.name: f.title for f in self.kind.plain} | {"id": "Name", "services": "Services", "token_env": "Variable"}
        words = [f"{titles.get(name, name)} {what}" for name, what in found.items()]
        if self._systems.first and "SourceControl" not in self.kind.ports and not self._token_only:
            words.append(CODE_FIRST)
        words += [p for p in ("" if self._token_only else self.services.problem, self.token.problem) if p]
        if self._token_only and not self.token.token:
            words.append("Type the token")
        return list(dict.fromkeys(words))

    def _keyring(self) -> str:
        why, hint = self._systems.keyring
        return f"{why} {hint}".strip()

    def _judge(self) -> None:
        """Paint what may be done now."""
        wanting, refusal = self._wanting(), self._systems.why_not()
        ready = not wanting and not self._busy
        self.test_button.setEnabled(ready)
        self.save_button.setEnabled(ready and (refusal is None or (self._token_only and not self._systems.read_only)))
        self.copy_button.setVisible(refusal is not None and not self._token_only)
        self.copy_button.setEnabled(not wanting)
        if self._busy:
            return
        if refusal is not None and not self._token_only and self._tested is None:
            self.found.set_rows([("blocked", f"{refusal.message} {refusal.hint}", "", "")])
        elif wanting:
            self.found.set_rows([("pending", "; ".join(wanting[:4]) + ("" if len(wanting) < 5 else "; …"), "", "")])
        elif self._tested is None:
            self.found.set_rows([("unknown", "Not tested yet. A test saves nothing; it can be saved without one, too.", "", "")])

    # ---- what a person does

    def _copy(self) -> None:
        if self.kind is not None:
            QApplication.clipboard().setText(self._systems.as_toml(self.draft(), self.kind))

    def _test(self) -> None:
        self._turn, turn = self._turn + 1, self._turn + 1
        self._busy = True
        self.found.set_rows([("running", "Testing the connection. Nothing is saved.", "", "")])

        def done(outcome: Outcome[Any]) -> None:
            if self._over or turn != self._turn:
                return
            self._busy, self._tested = False, ("tested",)
            self.found.set_rows(trial_rows(outcome.value) if outcome.value is not None else error_rows(outcome.error))
            self._judge()

        self._judge()
        self._systems.test(self.draft(), self.token.token, done)

    def _save(self) -> None:
        kind = self.kind
        if kind is None:
            return
        draft, token = self.draft(), self.token.token
        self._turn, turn = self._turn + 1, self._turn + 1
        self._busy = True
        self.found.set_rows([("running", "Saving.", "", "")])
        self._judge()

        def done(outcome: Outcome[Any]) -> None:
            if outcome.value is not None:
                self.saved.emit(draft.id, *kept_words(outcome.value, self._token_only))
                if not self._over:
                    self.close()
            elif not self._over and turn == self._turn:
                self._busy, self._tested = False, ("refused",)
                self.found.set_rows(error_rows(outcome.error))
                self._judge()

        if self._token_only:
            self._systems.new_token(draft.id, token, done)
        else:
            self._systems.save(draft, kind, token, done)

    def _ended(self, result: int) -> None:
        """Closed by whatever way: what was typed is forgotten."""
        self._over = True
        self.token.clear()


def _first_line(form: FieldForm) -> QWidget:
    return next((row.editor for row in form.rows.values()), form)


def _order(dialog: ConnectDialog) -> list[tuple[QWidget, QWidget]]:
    """The keyboard's way is the reading order."""
    rows = list(dialog.form.rows.values())
    first = [row for row in rows if row.field.name not in dialog.form.later]
    later = [row for row in rows if row.field.name in dialog.form.later]
    way: list[QWidget] = [dialog.kinds.search, dialog.kinds.list, dialog.name.editor, *_editors(first), dialog.form.more, *_editors(later)]
    way += [dialog.services.scope, dialog.services.list, dialog.services.names.editor]
    way += [dialog.token.where, dialog.token.secret, dialog.token.variable]
    way += [dialog.copy_button, dialog.cancel_button, dialog.test_button, dialog.save_button]
    return list(itertools.pairwise(way))


def _editors(rows: list[FieldRow]) -> list[QWidget]:
    return [widget for row in rows for widget in ((row.editor, row.browse) if row.field.kind == "path" else (row.editor,))]
