"""Alerts: what fires at the selected place or anywhere, who silenced it, and how old that word is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QWidget

from cockpit.services.alerts import alerts_at
from ui.models.alerts import AlertRow, alert_columns, detail_rows, glance, quiet_words
from ui.models.text import age_text, plain, plural
from ui.views.base import View, bar, button
from ui.views.freeze_label import StateButton
from ui.widgets.panel import StateLabel
from ui.widgets.table_view import TableView
from ui.widgets.texts import RowList, Text, scrolled

if TYPE_CHECKING:
    from cockpit.app import Cockpit

DETAIL_LINES = 6
WHERE = 3  # the column that says nothing while only one place is shown
HOW = "“Add a connection” under Sources reads an alerting system (alertmanager); its labels name service and environment."


class AlertsView(View):
    """A row an alert; below it the selected one whole."""

    kinds = frozenset(["alerts", "ages"])
    everywhere = True

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(cockpit, parent)
        self.setAccessibleName("Alerts")
        self.count = Text(ink="muted", parent=self)
        self.age = StateLabel("body", self)
        self.all_button = button("All places", self, checkable=True, tip="Alerts of every service and environment, and of none")
        self.open_button = button("Open", self, tip="Open the selected alert where it comes from, in the browser")
        self.table = TableView(alert_columns(cockpit.clock_us), lambda r: (r.source, r.alert.id), "Alerts", self)
        self.detail = RowList("The selected alert", self)
        self.box.addLayout(bar(self.count, self.all_button, self.open_button))
        self.box.addWidget(self.age)
        self.box.addWidget(self.table, 1)
        self.box.addWidget(scrolled(self.detail, self, DETAIL_LINES))
        self.all_button.toggled.connect(self._toggled)
        self.open_button.clicked.connect(self._open)
        self.table.row_selected.connect(self._selected)
        self.table.row_activated.connect(self._activated)

    def set_filter(self, text: str) -> None:
        """Only alerts that match."""
        self.table.set_filter(text)

    def refresh(self) -> None:
        """Read every connection's alerts."""
        now_us, facts = self.cockpit.clock_us(), self.state.alerts
        every = [AlertRow(a, f.source or i, f.stale(now_us)) for i, f in facts.items() for a in f.value]
        here = [r for r in every if r.alert.concerns(self.service, self.environment)]
        rows = sorted(every if self.all_button.isChecked() else here, key=lambda r: r.order)
        self._tell_age(now_us)
        self.table.setColumnHidden(WHERE, not self.all_button.isChecked())
        self.table.set_rows(rows)
        self.table.refresh()
        self._tell_empty(bool(every))
        if rows and self.table.selected() is None and not self.table.rows_model.filter_text:
            self.table.select((rows[0].source, rows[0].alert.id))
        self.count.set_text(self._count(here, len(every) - len(here)))
        self._selected(self.table.selected())

    def _count(self, here: list[AlertRow], others: int) -> str:
        if not any(fact.at_us for fact in self.state.alerts.values()):
            return "What fires is not known"  # nobody ever answered: no number is true
        firing, quiet = sum(r.alert.fires for r in here), quiet_words([r.alert for r in here if not r.alert.fires])
        verb = "firing" if self.age.word != "stale" else "were firing"
        return f"{firing} {verb} here, {quiet}; {plural(others, 'other')} elsewhere"

    def _tell_age(self, now_us: int) -> None:
        late, facts = [], self.state.alerts.values()
        for fact in facts:
            if not fact.at_us:
                late.append(f"{plain(fact.source, 60)} has not answered yet")
            elif fact.stale(now_us):
                late.append(f"{plain(fact.source, 60)} answered {age_text(fact.age_s(now_us))} ago")
        oldest = min((f.at_us for f in facts), default=0)
        if late:
            self.age.show_state("stale", f"stale: {'; '.join(late)}. What fires now is not known")
        elif facts:
            self.age.show_state("ok", f"as of {age_text((now_us - oldest) / 1e6)} ago")
        else:
            self.age.show_state("unknown", "no alerting system is connected")

    def _tell_empty(self, elsewhere: bool) -> None:
        if not self.state.alerts:
            self.table.set_empty("No alerts are read", HOW)
        elif self.age.word == "stale":
            self.table.set_empty("Not known", "Sources says why the alerting system does not answer.")
        elif elsewhere and not self.all_button.isChecked():
            self.table.set_empty("Nothing fires here", "“All places” shows what fires elsewhere.")
        else:
            self.table.set_empty("Nothing fires", "What fires stands here, the critical first.")

    def _selected(self, row: Any) -> None:
        self.detail.set_rows(detail_rows(row) if row is not None else [])
        self.open_button.setEnabled(row is not None and bool(row.alert.url))

    def _toggled(self, on: bool) -> None:
        self.refresh()

    def _activated(self, row: Any) -> None:
        self._open()

    def _open(self) -> None:
        row = self.table.selected()
        if row is not None and row.alert.url.startswith(("http://", "https://")):
            QDesktopServices.openUrl(QUrl(row.alert.url))


class AlertButton(StateButton):
    """The alerts of the selected place in a few words, on every screen. There only where an alerting system is connected."""

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__("Alerts", parent)
        self._cockpit = cockpit
        self._place = ("", "")
        # its room is kept: the tabs below must not move when it comes
        policy = self.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.setSizePolicy(policy)
        self.setVisible(False)

    def show_place(self, service: str, environment: str) -> None:
        """Tell of this place."""
        self._place = (service, environment)
        self.refresh()

    def refresh(self) -> None:
        """Say what is so now."""
        now_us = self._cockpit.clock_us()
        seen = alerts_at(self._cockpit.store.state, *self._place, now_us)
        self.setVisible(seen.asked and bool(self._place[1]))
        if seen.asked:
            self.show_state(*glance(seen, now_us))
