"""Freezes: what holds now, what comes, the next safe window, how old the calendars are, and the permission to pass one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QLineEdit, QWidget

from cockpit.domain.errors import CockpitError
from cockpit.domain.statements import Override, overrides
from ui.models.freeze import freeze_words, label, safe_words
from ui.models.text import age_text, plain, plural
from ui.models.trust import hours_text, moment_text, override_words
from ui.theme import state_of
from ui.views.base import View, bar, button
from ui.views.freeze_label import FreezeLook
from ui.widgets.action_rows import ActionRows, Item
from ui.widgets.texts import Row, RowContent, RowList, Text, scrolled

if TYPE_CHECKING:
    from cockpit.app import Cockpit

ENDS_S = (3600.0, 900.0, 1800.0, 2 * 3600.0, 4 * 3600.0, 12 * 3600.0)
EXEMPT = "A rollback is exempt: it never waits for a freeze."


class FreezesView(View):
    """One environment's freezes. `closed` leads back to where one came from."""

    kinds = frozenset(["freezes", "statements", "deployments", "environments", "sources", "ages"])
    everywhere = True
    closed = Signal()
    went = Signal(str)

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(cockpit, parent)
        self.setAccessibleName("Freezes")
        self._look = FreezeLook(cockpit)
        self._said = ("", "")
        self.heading = Text(ink="muted", parent=self)
        self.close_button = button("Back", self)
        self.headline = Text(role="big", parent=self)
        self.safe = Text(parent=self)
        self.rows = RowList("Freezes and calendars", self)
        self.standing = ActionRows("Who passes it now", self)
        self._build_form()
        self.box.addLayout(bar(self.heading, self.close_button))
        for widget in (self.headline, self.safe):
            self.box.addWidget(widget)
        self.box.addWidget(scrolled(self.rows, self), 1)
        self.box.addWidget(self.standing)
        self.box.addWidget(self.say)
        row = bar(self.whole, self.end, self.pass_button)
        row.insertWidget(0, self.reason, 1)
        self.box.addLayout(row)
        self._connect()

    def _build_form(self) -> None:
        self.say = Row(self)
        self.reason = QLineEdit(self)
        self.reason.setPlaceholderText("Reason (an override needs one)")
        self.reason.setAccessibleName("Reason to pass the freeze")
        self.reason.setMaxLength(500)
        self.whole = QComboBox(self)
        self.whole.setAccessibleName("For which services")
        self.end = QComboBox(self)
        self.end.setAccessibleName("Until, from now on")
        for seconds in ENDS_S:
            self.end.addItem(f"for {hours_text(seconds)}", seconds)
        self.pass_button = button("Pass it", self)

    def _connect(self) -> None:
        self.close_button.clicked.connect(self.closed)
        self.rows.went.connect(self.went)
        self.pass_button.clicked.connect(self._pass)
        self.reason.returnPressed.connect(self._pass)
        self.standing.chosen.connect(self._end)

    def place_changed(self) -> None:
        """Another place: what was said belongs to the one before."""
        self._said = ("", "")
        self.whole.clear()
        self.whole.addItem(plain(self.service, 40) or "this service", self.service)
        self.whole.addItem("every service", "")

    def refresh(self) -> None:
        """Read what is so now."""
        now_us = self.cockpit.clock_us()
        freezes = self._look.freezes(self.service, self.environment)
        passed = self._look.passed(self.service, self.environment)
        self.heading.set_text(f"Freezes of {plain(self.environment)}" if self.environment else "Freezes need an environment")
        state, words = label(freezes, passed, now_us)
        self.headline.set_text(_short(state, words, passed, now_us))
        self.headline.set_ink("text" if state == "ok" else state_of(state)[1])
        self.safe.set_text(safe_words(freezes, now_us, self._look.duration_s(self.service, self.environment)))
        self.rows.set_rows([*self._freeze_rows(freezes, now_us), *self._calendar_rows(now_us), ("ok", EXEMPT, "", "")])
        mine = self._overrides(now_us)
        self.standing.set_items([Item(o.id, "warning", override_words(o, now_us), "End it") for o in mine])
        self._tell()

    def _freeze_rows(self, freezes: Any, now_us: int) -> list[RowContent]:
        if freezes is None:
            return [("unknown", "What the calendars say is not known yet.", "", "sources")]
        rows: list[RowContent] = [("frozen", f"now: {freeze_words(f, now_us)}", "", "") for f in freezes.now]
        if not freezes.now and not freezes.unknown:
            rows.append(("ok", "No freeze holds now.", "", ""))
        rows += [
            ("unknown", f"{plain(name, 100)} does not answer: what it freezes is not known", "", "sources") for name in freezes.unknown
        ]
        if freezes.next is not None:
            rows.append(("pending", f"next: {freeze_words(freezes.next, now_us)}", "", ""))
        return rows

    def _calendar_rows(self, now_us: int) -> list[RowContent]:
        rows: list[RowContent] = []
        built_in = self.cockpit.rules.freezes.get(self.environment, ())
        if built_in:
            rows.append(("ok", f"venue rules by the policy: {', '.join(plain(n, 60) for n in built_in)}", "", ""))
        for name, fact in self.state.freezes.items():
            stale = fact.stale(now_us)
            words = f"calendar {plain(fact.source or name, 80)}: {plural(len(fact.value), 'freeze')}" + (
                ", too old to be believed" if stale else ""
            )
            rows.append(("unknown" if stale else "ok", words, age_text(fact.age_s(now_us)), "sources"))
        if not rows:
            rows.append(("pending", "No venue rule and no calendar is named for it: see `freezes` in cockpit.toml.", "", ""))
        return rows

    def _overrides(self, now_us: int) -> list[Override]:
        return [o for o in overrides(self.state.statements, now_us) if o.environment == self.environment]

    def _tell(self) -> None:
        state, words = self._said
        why = self.words.why_not_override(self.environment) if self.environment else ""
        if not words and why:
            state, words = "blocked", f"You cannot pass a freeze here: {plain(why, 300)}."
        self.say.set_row(state if words else "", words)
        self.say.setVisible(bool(words))
        for widget in (self.reason, self.whole, self.end, self.pass_button):
            widget.setVisible(bool(self.environment))

    # ---- what a person does

    def _pass(self) -> None:
        reason = self.reason.text().strip()
        if not reason:
            self._said = ("blocked", "An override names its reason: write it, then pass the freeze.")
            self.reason.setFocus(Qt.FocusReason.OtherFocusReason)
            self.refresh()
            return
        until_us = self.cockpit.clock_us() + round(float(self.end.currentData()) * 1e6)
        try:
            self.words.override(self.environment, self.whole.currentData() or "", reason, until_us)
        except CockpitError as error:
            self._said = ("blocked", f"{error.title}: {error.message} {error.hint}".strip())
        else:
            self._said = ("ok", "Said. A hard freeze is passed by nobody; automation never uses it.")
            self.reason.clear()
        self.refresh()

    def _end(self, key: str) -> None:
        found = next((o for o in self._overrides(self.cockpit.clock_us()) if o.id == key), None)
        if found is None:
            return
        try:
            self.words.end_override(found, self.reason.text().strip())
        except CockpitError as error:
            self._said = ("blocked", f"{error.title}: {error.message} {error.hint}".strip())
        else:
            self._said = ("ok", "The override is ended.")
        self.refresh()


def _short(state: str, words: str, passed: Override | None, now_us: int) -> str:
    """The one line that the page is about; whose freeze it is and who passes it stand below."""
    if state == "warning" and passed is not None:
        return f"Passed until {moment_text(passed.until_us, now_us)}"
    short = words.partition(" UTC: ")[0] + " UTC" if state == "frozen" else words
    return short[:1].upper() + short[1:]
