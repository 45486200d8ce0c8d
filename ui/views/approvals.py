"""Approvals: who must, who has, for exactly which commit and artifact; approve or reject with a comment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QComboBox, QGridLayout, QLineEdit, QWidget

from cockpit.domain.approvals import Counted
from cockpit.domain.errors import CockpitError
from cockpit.domain.release import Version
from cockpit.services import status
from cockpit.services.store import Change
from ui.models.columns import approval_columns
from ui.models.text import plain, plural
from ui.models.trust import person, rule_people, rule_words, signature, source_words
from ui.views.base import View, bar, button
from ui.views.owed import Owed
from ui.views.waiting import Waiting
from ui.widgets.table_view import TableView
from ui.widgets.texts import Row, RowContent, RowList, Text, scrolled

if TYPE_CHECKING:
    from cockpit.app import Cockpit

ALREADY = "you have approved this already"  # no error: nothing is left to do
_KEEP = 20  # versions offered besides the pending ones
DETAIL_LINES, OWED_LINES, WAITING_LINES = 3, 5, 6


class ApprovalsView(View):
    """Votes on one version for the selected environment. `went` names a place that a missing thing leads to."""

    kinds = frozenset(
        ["versions", "artifacts", "changes", "fleets", "approvals", "statements", "gates", "deeds", "environments", "services", "ages"]
    )
    went = Signal(str)

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(cockpit, parent)
        self.setAccessibleName("Approvals")
        self._version_name = ""
        self._minute = 0
        self._said = ("", "")
        self._build_head()
        self.table = TableView(approval_columns(cockpit.clock_us), _key, "Votes", self)
        self.detail = RowList("The selected vote", self)
        self.owed, self.waiting = Owed(cockpit, self), Waiting(cockpit, self)
        self.comment = QLineEdit(self)
        self.comment.setPlaceholderText("Comment (a rejection needs its reason)")
        self.comment.setAccessibleName("Comment")
        self.comment.setMaxLength(2000)
        # its room is kept: the table above must not move when it comes
        self.say = Row(self, one_line=True)
        self.approve_button = button("Approve", self, role="primary")
        self.reject_button = button("Reject", self)
        self.box.addWidget(self.table, 1)
        self.box.addWidget(scrolled(self.detail, self, DETAIL_LINES))
        self.owed_area = scrolled(self.owed, self, OWED_LINES)
        self.box.addWidget(self.owed_area)
        self.waiting_area = scrolled(self.waiting, self, WAITING_LINES)
        self.box.addWidget(self.waiting_area)
        self.box.addWidget(self.say)
        actions = bar(self.approve_button, self.reject_button)
        actions.insertWidget(0, self.comment, 1)
        self.box.addLayout(actions)
        self._connect()

    def _connect(self) -> None:
        self.versions.activated.connect(self._picked)
        self.freezes_button.clicked.connect(self._freezes)
        self.table.row_selected.connect(self._selected)
        self.owed.said.connect(self._owed_said)
        self.waiting.said.connect(self._owed_said)
        self.comment.textChanged.connect(self._commented)
        self.approve_button.clicked.connect(self._approve)
        self.reject_button.clicked.connect(self._reject)
        self.copy_commit.clicked.connect(self._copy_commit)
        self.copy_digest.clicked.connect(self._copy_digest)

    def _build_head(self) -> None:
        self.versions = QComboBox(self)
        self.versions.setAccessibleName("Version to approve")
        self.versions.setMinimumWidth(160)
        self.count = Text(role="big", parent=self)
        self.heading = Text(role="body", ink="muted", parent=self)
        self.reasons = RowList("What is missing", self)
        self.rule = Row(self)
        self.freezes_button = button("Freezes", self, tip="What is frozen, when, and who passes it")
        self.commit, self.digest = Text(role="mono", parent=self), Text(role="mono", parent=self)
        self.copy_commit, self.copy_digest = button("Copy", self, role="flat"), button("Copy", self, role="flat")
        self.copy_commit.setAccessibleName("Copy the whole commit id")
        self.copy_digest.setAccessibleName("Copy the whole digest")
        self.box.addLayout(bar(self.heading, self.versions, self.freezes_button))
        self.box.addWidget(self.count)
        self.box.addWidget(self.rule)
        self.box.addWidget(self.reasons)
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(4)
        for n, (name, value, copy) in enumerate((("Commit", self.commit, self.copy_commit), ("Digest", self.digest, self.copy_digest))):
            grid.addWidget(Text(name, ink="muted", elide=False, parent=self), 0, 4 * n)
            grid.addWidget(value, 0, 4 * n + 1)
            grid.addWidget(copy, 0, 4 * n + 2)
            grid.setColumnStretch(4 * n + 1, 1)
        grid.setColumnMinimumWidth(3, 16)
        self.box.addLayout(grid)

    def place_changed(self) -> None:
        """Another place: start with its newest pending version."""
        self._version_name, self._said = "", ("", "")

    def show_version(self, name: str) -> None:
        """Show the votes on this version."""
        if name != self._version_name:
            self._version_name, self._said = name, ("", "")
            self.read()

    @property
    def version(self) -> Version | None:
        """The version voted on: the chosen one, else the newest pending, else the live one."""
        state = self.state
        wanted = self._version_name
        if not wanted:
            waiting = status.pending_versions(state, self.service, self.environment)
            wanted = waiting[0].name if waiting else status.live_name(state, self.service, self.environment) or ""
        return status.version_of(state, self.service, wanted) if wanted else None

    def on_change(self, change: Change) -> None:
        """What expires does so by the minute."""
        minute = self.cockpit.clock_us() // 60_000_000
        if change.kinds != {"ages"} or change.ids or minute != self._minute or self.waiting.asking:
            self._minute = minute
            super().on_change(change)

    def refresh(self) -> None:
        """Count the votes as of now."""
        version = self.version
        self._offer(version)
        for widget in (self.comment, self.approve_button, self.reject_button, self.copy_commit, self.copy_digest):
            widget.setVisible(version is not None and bool(self.environment))
        if version is None or not self.environment:
            self._show_nothing()
            return
        now_us, rules = self.cockpit.clock_us(), self.cockpit.rules
        decision = status.decision(self.state, version, self.environment, rules, now_us)
        rule = status.approval_rule(self.state, self.environment, rules)
        self.rule.set_row("", rule_words(rule), tip=rule_people(rule))
        self.heading.set_text(f"{self.service} {version.name} for {self.environment}")
        count = f"{decision.given} of {plural(decision.required, 'approval')}" if decision.required else f"{decision.given} approved"
        self.count.set_text(count if rule.asks else "No approval needed")
        self.count.set_ink("ok" if decision.ok else "text")
        rows = [("rejected" if text.startswith("rejected") else "pending", text, "", "") for text in decision.reasons]
        self.reasons.set_rows(rows or [("ok", "Nothing is missing.", "", "")])
        self.commit.set_text(version.commit[:12] or "not known", version.commit)
        self.digest.set_text(version.digest[:12] or "not known: no artifact of this version is built yet", version.digest)
        self.table.set_rows(list(decision.votes))
        self.table.set_empty("Nobody has voted yet", "The first word on exactly this commit and artifact stands here.")
        if decision.votes and self.table.selected() is None:
            self.table.select(self.table.rows_model.key_at(0))
        self._selected(self.table.selected())
        self._show_owed()
        self._tell_refusal(version)

    def _show_nothing(self) -> None:
        self.heading.set_text(self.service or "Nothing selected")
        self.count.set_text("No approvals")
        self.count.set_ink("text")
        words = "Choose a service in the overview." if not self.service else "Approvals need an environment: name one in cockpit.toml."
        if self.service and self.environment:
            words = "No version is known here yet."
        self.reasons.set_rows([("pending", words, "", "")])
        self.commit.set_text("")
        self.digest.set_text("")
        self.rule.set_row("", "")
        self.detail.set_rows([])
        self._show_owed()
        self.table.set_rows([])
        self.table.set_empty("Nothing to vote on", words)
        self.say.set_row("", "")

    def _show_owed(self) -> None:
        self.owed.show_place(self.service, self.environment)
        self.owed_area.setVisible(not self.owed.isHidden())
        self.waiting.show_place(self.service, self.environment)
        self.waiting_area.setVisible(not self.waiting.isHidden())

    def _offer(self, version: Version | None) -> None:
        waiting = [v.name for v in status.pending_versions(self.state, self.service, self.environment)]
        names = list(dict.fromkeys([*waiting, *(v.name for v in status.versions(self.state, self.service)[: len(waiting) + _KEEP])]))
        if version is not None and version.name not in names:
            names.insert(0, version.name)
        shown = [self.versions.itemData(i) for i in range(self.versions.count())]
        if shown != names:
            self.versions.clear()
            for name in names:
                self.versions.addItem(plain(name, 60), name)
        if version is not None:
            self.versions.setCurrentIndex(names.index(version.name))

    def _tell_refusal(self, version: Version) -> None:
        why = self.words.why_not_approve(version, self.environment)
        state, words = self._said
        if not words and why:
            state, words = ("ok", "You have approved this.") if why == ALREADY else ("blocked", f"You cannot approve this: {why}.")
        self.say.set_row(state if words else "", words)
        self.approve_button.setProperty("role", "" if why else "primary")
        self.approve_button.style().polish(self.approve_button)

    def _selected(self, row: Counted | None) -> None:
        """The chosen vote whole: its signature, where it is kept, and exactly what it is of."""
        if row is None:
            self.detail.set_rows([])
            return
        word = row.approval
        state, signed = signature(word)
        rows: list[RowContent] = [(state, f"{person(word.who, word.name)}: {signed}, kept as {source_words(word.source)}", "", "")]
        rows.append(("", f"commit {plain(word.commit, 64) or 'not named'}", "", ""))
        rows.append(("", f"digest {plain(word.digest, 80) or 'not named'}", "", ""))
        if word.comment:
            rows.insert(1, ("", plain(word.comment), "", ""))
        if not row.counts and row.why_not != word.why_not:
            rows.insert(0, ("warning", f"It does not count: {plain(row.why_not, 300)}", "", ""))
        self.detail.set_rows(rows)

    # ---- what a person does

    def _freezes(self) -> None:
        self.went.emit("freezes")

    def _commented(self, text: str) -> None:
        self.owed.comment = self.waiting.comment = text.strip()

    def _owed_said(self, state: str, words: str) -> None:
        self._said = (state, words)
        if state == "ok":
            self.comment.clear()
        else:
            self.comment.setFocus(Qt.FocusReason.OtherFocusReason)
        self.refresh()

    def _picked(self, index: int) -> None:
        self.show_version(self.versions.itemData(index))

    def _approve(self) -> None:
        self._vote(self.words.approve, "Approved.")

    def _reject(self) -> None:
        if not self.comment.text().strip():
            self._said = ("blocked", "A rejection names its reason: write it into the comment, then reject.")
            self.comment.setFocus(Qt.FocusReason.OtherFocusReason)
            self.refresh()
            return
        self._vote(self.words.reject, "Rejected.")

    def _vote(self, act: Any, words: str) -> None:
        version = self.version
        if version is None:
            return
        try:
            act(version, self.environment, self.comment.text().strip())
        except CockpitError as error:
            self._said = ("blocked", f"{error.message} {error.hint}".strip())
        else:
            self._said = ("ok", words)
            self.comment.clear()
        self.refresh()

    def _copy_commit(self) -> None:
        version = self.version
        QGuiApplication.clipboard().setText(version.commit if version else "")

    def _copy_digest(self) -> None:
        version = self.version
        QGuiApplication.clipboard().setText(version.digest if version else "")


def _key(row: Counted) -> tuple[str, int, str]:
    return row.approval.who, row.approval.at_us, row.approval.source
