"""The policy that waits: what would change, line by line, and the person's word on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QWidget

from cockpit.domain.errors import CockpitError
from ui.models.text import plain, plain_lines, short_id, time_text
from ui.theme import font
from ui.views.base import View, bar, button, text_pane
from ui.widgets.texts import NOTE, Row, RowContent, RowList, Text, scrolled

if TYPE_CHECKING:
    from cockpit.app import Cockpit

NOTHING = "No change of the policy waits. The one in force is the one that was accepted last."


class PolicyView(View):
    """The difference as plain text. `closed` leads back to where one came from."""

    kinds = frozenset(["ages", "notices", "services", "environments"])
    everywhere = True
    closed = Signal()

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(cockpit, parent)
        self.setAccessibleName("Policy")
        self._shown: Any = None
        self._said = ("", "")
        self.heading = Text(role="title", parent=self)
        self.origin = Row(self)
        self.close_button = button("Back", self)
        self.problems = RowList("What is wrong in it", self)
        self.problem_area = scrolled(self.problems, self)
        self.diff = text_pane("What would change", self, "mono")
        self.say = Row(self)
        self.accept_button = button("Take it into use", self, role="primary")
        self.refuse_button = button("Refuse it", self)
        self.box.addLayout(bar(self.heading, self.close_button))
        self.box.addWidget(self.origin)
        self.box.addWidget(self.problem_area)
        self.box.addWidget(self.diff, 1)
        self.box.addWidget(self.say)
        self.box.addLayout(bar(None, self.refuse_button, self.accept_button))
        self.close_button.clicked.connect(self.closed)
        self.accept_button.clicked.connect(self._accept)
        self.refuse_button.clicked.connect(self._refuse)

    @property
    def _keeper(self) -> Any:
        return getattr(self.cockpit, "policy", None)

    def refresh(self) -> None:
        """Show what waits now; another change than the one shown is told."""
        keeper = self._keeper
        change = keeper.proposed if keeper is not None else None
        if change is not None and self._shown is not None and change.digest + change.commit != self._shown.digest + self._shown.commit:
            self._said = ("warning", "Another change came meanwhile: read it before you say anything.")
        if change != self._shown or not self.heading.whole:
            self._shown = change
            self._fill(change)
        self.say.set_row(*self._said)
        self.say.setVisible(bool(self._said[1]))

    def _fill(self, change: Any) -> None:
        for widget in (self.accept_button, self.refuse_button, self.diff):
            widget.setVisible(change is not None)
        self.problem_area.setVisible(bool(change is not None and change.problems))
        if change is None:
            problem = getattr(self._keeper, "problem", None)
            self.heading.set_text("The policy is as it was accepted")
            bad = f"{problem.title}: {problem.message} {problem.hint}" if isinstance(problem, CockpitError) else ""
            self.origin.set_row("blocked" if bad else "ok", bad or NOTHING)
            return
        self.heading.set_text("The policy changed" + (": you refused this one" if change.refused else ": it is not in force yet"))
        of = f"{short_id(change.commit) or 'not committed'} of {plain(change.origin, 200)}"
        when = f", {time_text(change.at_us)}" if change.at_us else ""
        self.origin.set_row(NOTE, f"{of} by {plain(change.who, 100) or 'nobody named'}{when}: {plain(change.subject, 300)}")
        rows: list[RowContent] = [("blocked", plain(problem, 500), "", "") for problem in change.problems]
        self.problems.set_rows(rows)
        self.problem_area.setFixedHeight(min(5, len(rows)) * (QFontMetrics(font("body")).height() + 6))
        self.diff.setPlainText(plain_lines(change.diff) or "No line of it is different; see the head.")
        self.accept_button.setProperty("role", "" if change.problems else "primary")
        self.accept_button.style().polish(self.accept_button)
        self.refuse_button.setVisible(not change.refused)

    # ---- what a person does

    def _accept(self) -> None:
        self._decide("accept", "It is in force now. The journal has its commit.")

    def _refuse(self) -> None:
        self._decide("refuse", "Refused: the one in force stays, and this one is not asked about again.")

    def _decide(self, word: str, done: str) -> None:
        keeper = self._keeper
        if keeper is None or keeper.proposed != self._shown:
            self.refresh()
            return
        try:
            getattr(keeper, word)()
        except CockpitError as error:
            reasons = "; ".join(plain(r, 200) for r in getattr(error, "reasons", ()))
            self._said = ("blocked", f"{error.title}: {error.message} {reasons} {error.hint}".strip())
        else:
            self._said, self._shown = ("ok", done), None
            self.heading.set_text("")
        self.refresh()
