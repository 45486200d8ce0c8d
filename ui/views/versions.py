"""Versions: what waits for the selected place, the commits each brings or leaves out, and the two ways into the card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QVBoxLayout, QWidget

from cockpit.domain.readiness import Reason
from cockpit.domain.release import Changes, Commit, Version, version_key
from cockpit.services import status
from cockpit.services.store import Change
from ui.models.columns import VersionRow
from ui.models.text import age_text, plain, plain_lines, plural, short_id, time_text
from ui.views.base import View, bar, button, split_of, text_pane
from ui.views.version_columns import commit_columns, version_columns
from ui.widgets.panel import ProgressLine
from ui.widgets.table_view import TableView
from ui.widgets.texts import Row, Text

if TYPE_CHECKING:
    from cockpit.app import Cockpit

AHEAD = 8  # pending versions whose commits are asked for without being selected
FILES_SHOWN = 200
ALL_REASONS = "all reasons"


class VersionsView(View):
    """`deploy_wanted` and `rollback_wanted` carry a version's name; `version_selected` the selected Version or None."""

    kinds = frozenset(["services", "versions", "artifacts", "changes", "fleets", "checks", "approvals", "environments", "starting"])
    deploy_wanted = Signal(str)
    rollback_wanted = Signal(str)
    version_selected = Signal(object)
    went = Signal(str)

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(cockpit, parent)
        self.setAccessibleName("Versions")
        self._asked: set[tuple[str, str, str, str]] = set()
        self._chosen_by_hand = False
        self._filling = False
        self._reasons: tuple[Reason, ...] = ()
        self._build_top()
        self._build_bottom()
        self.line = ProgressLine(self)
        self.box.setContentsMargins(16, 2, 16, 12)
        self.split = split_of("versions", self, self._upper, self._lower)
        self.split.setStretchFactor(0, 2)
        self.split.setStretchFactor(1, 3)
        self.split.setSizes([260, 360])
        self.box.addWidget(self.line)
        self.box.addWidget(self.split, 1)

    def _build_top(self) -> None:
        self._upper = QWidget(self)
        self.summary = Text(role="body", ink="muted", parent=self._upper)
        self.all_button = button("All released", self._upper, checkable=True, tip="Released versions, too: choose one to go back to")
        self.act_button = button("Deploy…", self._upper, role="primary")
        self.table = TableView(version_columns(self.cockpit.clock_us), lambda r: r.version.name, "Versions", self._upper)
        box = QVBoxLayout(self._upper)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(8)
        box.addLayout(bar(self.summary, self.all_button, self.act_button))
        box.addWidget(self.table, 1)
        self.all_button.toggled.connect(self._toggled)
        self.act_button.clicked.connect(self._act)
        self.table.row_selected.connect(self._row_selected)
        self.table.row_activated.connect(self._row_activated)

    def _build_bottom(self) -> None:
        self._lower = QWidget(self)
        self.heading = Text(role="title", parent=self._lower)
        self.people = Text(ink="muted", parent=self._lower)
        # one line at all times: the table below must not move when the words change
        self.ready = Row(self._lower, one_line=True)
        self.ready.went.connect(self._ready_pressed)
        self.in_button = button("Come in", self._lower, checkable=True)
        self.out_button = button("Not in it", self._lower, checkable=True, tip="Commits that are live and not in this version")
        self.in_button.setChecked(True)
        self.commits = TableView(commit_columns(self.cockpit.clock_us), lambda c: c.id, "Commits", self._lower)
        self.detail = text_pane("The commit's message, people and files", self._lower)
        panes = split_of("commits", self._lower, self.commits, self.detail, sizes=(220, 110))
        box = QVBoxLayout(self._lower)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(8)
        box.addLayout(bar(self.heading, self.people, self.in_button, self.out_button))
        box.addWidget(self.ready)
        box.addWidget(panes, 1)
        self.in_button.clicked.connect(self._show_in)
        self.out_button.clicked.connect(self._show_out)
        self.commits.row_selected.connect(self._commit_selected)

    # ---- what is shown

    def place_changed(self) -> None:
        """Another place: nothing is chosen by hand there."""
        self._chosen_by_hand = False
        self.out_button.setChecked(False)
        self.in_button.setChecked(True)

    def set_filter(self, text: str) -> None:
        """Filter versions and commits alike would hide one with the other: the filter is for versions."""
        self.table.set_filter(text)

    @property
    def version(self) -> Version | None:
        """The selected version."""
        row = self.table.selected()
        return row.version if row is not None else None

    def refresh(self) -> None:
        """Read versions, keep the selection, else choose the newest."""
        state, live = self.state, status.live_name(self.state, self.service, self.environment)
        known = status.versions(state, self.service)
        waiting = status.pending_versions(state, self.service, self.environment)
        shown = known if self.all_button.isChecked() else waiting
        names = {v.name for v in waiting}
        self._filling = True
        self.table.set_rows([self._row(v, names, live) for v in shown])
        self._filling = False
        self._tell_empty(live, len(known))
        self._summary(live, known, len(waiting))
        if self.table.rows_model.rows and (self.table.selected() is None or not self._chosen_by_hand):
            self._filling = True
            self.table.select(self.table.rows_model.key_at(0))
            self._filling = False
        self._ask(live or "", waiting)
        self._show_version()

    def _row(self, version: Version, pending: set[str], live: str | None) -> VersionRow:
        state = self.state
        place = "live" if version.name == live else "pending" if version.name in pending else "older"
        changes = status.changes_between(state, self.service, live, version.name) if live else None
        decision = status.decision(state, version, self.environment, self.cockpit.rules, self.cockpit.clock_us())
        return VersionRow(
            version=version,
            place=place,
            checks=status.checks_word(state, version, self.cockpit.rules),
            commits_in=changes.total_in if changes else None,
            commits_out=changes.total_out if changes else None,
            approvals_given=decision.given,
            approvals_required=decision.required,
        )

    def _tell_empty(self, live: str | None, known: int) -> None:
        if self.service not in self.state.versions:
            words = ("Versions are not read yet", "They come from the repository's tags; Sources says how it does.")
        elif known:
            words = ("Nothing is pending", f"{plain(live or '')} is the newest version. All released shows the earlier ones.")
        else:
            words = ("No version yet", "A tag such as v1.2.0 makes one. cockpit.toml can name the tags' pattern: tag_pattern.")
        if not self.service:
            words = ("Nothing selected", "Choose a service in the overview.")
        if self.state.starting and not known:
            words = (plain(self.state.starting, 200), "Its services and their versions appear as soon as it runs.")
        self.line.set_busy(bool(self.state.starting) and not known)
        self.table.set_empty(*words)

    def _summary(self, live: str | None, known: tuple[Version, ...], waiting: int) -> None:
        fact = self.state.versions.get(self.service)
        stale = fact is not None and fact.stale(self.cockpit.clock_us())
        here = (
            f"live {plain(live)}"
            if live
            else "nothing is live"
            if live == ""
            else "live version not known: name it as `live` in cockpit.toml"
        )
        age = f", as of {age_text(fact.age_s(self.cockpit.clock_us()))} ago" if stale and fact else ""
        self.summary.set_text(f"{here}, {waiting} pending of {len(known)}{age}" if self.service else "")
        self.table.set_stale(stale)

    def _ask(self, live: str, waiting: tuple[Version, ...]) -> None:
        chosen = self.version
        wanted = [*waiting[:AHEAD], *([chosen] if chosen else [])]
        for version in wanted:
            # the commits of moved tags are others: the commit is part of what was asked
            key = (self.service, live, version.name, version.commit)
            if key not in self._asked and version.name != live:
                self._asked.add(key)
                self.cockpit.sync.want_changes(self.service, live, version.name)

    def _show_version(self) -> None:
        version = self.version
        live = status.live_name(self.state, self.service, self.environment) or ""
        changes = status.changes_between(self.state, self.service, live, version.name) if version and version.name != live else None
        self._act_look(version, live)
        if version is None:
            self.heading.set_text("")
            self.people.set_text("")
            self.ready.set_row("", "")
            self.in_button.setText("Come in")
            self.out_button.setText("Not in it")
            self.commits.set_rows([])
            self.commits.set_empty("" if self.state.starting else "No version selected", "")
            self.detail.setPlainText("")
            return
        self.heading.set_text(f"{version.name}" + (f" against {live}" if live and live != version.name else ""))
        authors = {c.author for c in changes.commits} if changes else set()
        self.people.set_text(f"{plural(len(authors), 'author')}, {plural(len(changes.files), 'file')}" if changes else "")
        self._show_readiness(version, live)
        self._fill_commits(changes, version.name == live, live)

    def _fill_commits(self, changes: Changes | None, is_live: bool, live: str) -> None:
        leaving = self.out_button.isChecked()
        total_in, total_out = (changes.total_in, changes.total_out) if changes else (None, None)
        self.in_button.setText("Come in" if total_in is None else f"Come in {total_in:,}")
        self.out_button.setText("Not in it" if total_out is None else f"Not in it {total_out:,}")
        rows = (changes.missing if leaving else changes.commits) if changes else ()
        self.commits.set_rows(list(rows))
        if is_live:
            self.commits.set_empty("This version is live here", "Nothing comes in and nothing leaves.")
        elif changes is None:
            self.commits.set_empty("The commits are being read", "They come from the repository; Sources says how it does.")
        elif leaving:
            self.commits.set_empty("Nothing is left out", f"Every commit of {plain(live) or 'what is live'} is in this version.")
        else:
            self.commits.set_empty("No commit comes in", "This version has nothing that is not live already.")
        if rows and self.commits.selected() is None:
            self.commits.select(rows[0].id)
        self._commit_selected(self.commits.selected())

    def _show_readiness(self, version: Version, live: str) -> None:
        if not self.environment or version.name == live or self._is_older(version, live):
            self.ready.set_row("", "")
            return
        now_us, calendars = self.cockpit.clock_us(), getattr(self.cockpit, "calendars", None)
        ready = status.ready(self.state, version, self.environment, self.cockpit.rules, now_us, calendars=calendars)
        if ready.ok:
            self.ready.set_row("ready", f"Ready for {plain(self.environment)}")
        else:
            first, more = ready.reasons[0], len(ready.reasons) - 1
            also = f", and {more} more" if more else ""
            words = f"Not ready for {plain(self.environment)}: {plain(first.text)}{also}"
            tip = "\n".join(reason.text for reason in ready.reasons) if more else ""
            self.ready.set_row("pending", words, "", ALL_REASONS if more else first.place, tip)
        self._reasons = ready.reasons

    def _ready_pressed(self, place: str) -> None:
        """One reason leads to its place; of several a menu asks which."""
        if place != ALL_REASONS:
            self.went.emit(place)
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for reason in self._reasons:
            menu.addAction(plain(reason.text, 200).replace("&", "&&")).setData(reason.place)
        menu.triggered.connect(self._reason_chosen)
        menu.popup(self.ready.mapToGlobal(self.ready.rect().bottomLeft()))

    def _reason_chosen(self, action: QAction) -> None:
        self.went.emit(action.data())

    def _act_look(self, version: Version | None, live: str) -> None:
        self.act_button.setVisible(version is not None and bool(self.environment))
        if version is None:
            return
        name, environment = plain(version.name, 40), plain(self.environment, 40)
        words = f"Roll back {environment} to {name}…" if self._is_older(version, live) else f"Deploy {name} to {environment}…"
        self.act_button.setText(words.replace("&", "&&"))
        self.act_button.setAccessibleName(words)

    @staticmethod
    def _is_older(version: Version, live: str) -> bool:
        return bool(live) and version_key(version.name) < version_key(live)

    def on_change(self, change: Change) -> None:
        """Each second what is written of ages, and what is ready only while test results are fresh, is written anew."""
        super().on_change(change)
        if change.touches("ages") and not change.ids and self.isVisible() and self.service:
            known = status.versions(self.state, self.service)
            live = status.live_name(self.state, self.service, self.environment)
            self._summary(live, known, len(status.pending_versions(self.state, self.service, self.environment)))
            if self.version is not None:
                self._show_readiness(self.version, live or "")
            self.table.refresh()
            self.commits.refresh()

    # ---- what a person does

    def _row_selected(self, row: Any) -> None:
        if not self._filling:
            self._chosen_by_hand = row is not None
            live = status.live_name(self.state, self.service, self.environment)
            self._ask(live or "", ())
            self._show_version()
        self.version_selected.emit(row.version if row is not None else None)

    def _row_activated(self, row: Any) -> None:
        self._act()

    def _act(self) -> None:
        version = self.version
        if version is None or not self.environment:
            return
        live = status.live_name(self.state, self.service, self.environment) or ""
        (self.rollback_wanted if self._is_older(version, live) else self.deploy_wanted).emit(version.name)

    def _toggled(self, on: bool) -> None:
        self.refresh()

    def _show_in(self) -> None:
        self._side(False)

    def _show_out(self) -> None:
        self._side(True)

    def _side(self, leaving: bool) -> None:
        self.in_button.setChecked(not leaving)
        self.out_button.setChecked(leaving)
        self._show_version()

    def _commit_selected(self, commit: Commit | None) -> None:
        words = commit_words(commit) if commit is not None else ""
        if words != self.detail.toPlainText():
            self.detail.setPlainText(words)


def commit_words(commit: Commit) -> str:
    """One commit as plain lines: message, people, then its files."""
    lines = [
        plain(commit.subject),
        f"{short_id(commit.id)} by {plain(commit.author)} <{plain(commit.email)}>, {time_text(commit.at_us)}",
        "Reviewed by " + (", ".join(plain(p) for p in commit.reviewers) or "nobody named"),
    ]
    if commit.co_authors:
        lines.append("Written with " + ", ".join(plain(p) for p in commit.co_authors))
    lines.append(plural(len(commit.files), "file") + " changed")
    lines += [f"  {plain(path)}" for path in commit.files[:FILES_SHOWN]]
    if len(commit.files) > FILES_SHOWN:
        lines.append(f"  and {len(commit.files) - FILES_SHOWN:,} more")
    return plain_lines("\n".join(lines))
