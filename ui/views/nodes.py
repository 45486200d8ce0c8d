"""Nodes of the selected place: what each runs, its share of the traffic; one is taken out at once, or brought back, with two clicks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from cockpit.domain.deeds import Deed
from cockpit.domain.errors import CockpitError
from cockpit.domain.facts import Fact
from cockpit.domain.strategy_plan import shares_set
from ui.models.nodes import NodeRow, node_columns, node_rows
from ui.models.text import age_text, plain
from ui.views.base import View, bar, button
from ui.widgets.arming import ARM_S, Confirm
from ui.widgets.card_button import FireButton, ReasonLine
from ui.widgets.table_view import TableView
from ui.widgets.texts import Row, RowList, Text, scrolled

if TYPE_CHECKING:
    from cockpit.app import Cockpit

DETAIL_LINES = 4
OUT, BACK = "drain", "ready"


class NodesView(View):
    """A row a node. `closed` leads back, `went` to the place of a reason."""

    kinds = frozenset(["fleets", "shares", "deeds", "ages"])
    closed = Signal()
    went = Signal(str)

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__(cockpit, parent)
        self.setAccessibleName("Nodes")
        self.confirm = Confirm(clock_s)
        self._said = ("", "")
        self.heading = Text(role="body", ink="muted", parent=self)
        self.close_button = button("Back", self)
        self.table = TableView(node_columns(), lambda r: r.name, "Nodes", self)
        self.table.set_empty("No nodes are known", "A deployment system, or a load balancer, names them.")
        self.detail = RowList("The selected node", self)
        self.detail.went.connect(self.went)
        self.say = Row(self, one_line=True)
        self.reason = ReasonLine(self)
        self.act = FireButton(self)
        self.box.addLayout(bar(self.heading, self.close_button))
        self.box.addWidget(self.table, 1)
        self.box.addWidget(scrolled(self.detail, self, DETAIL_LINES))
        self.box.addWidget(self.say)
        self.box.addWidget(self.reason)
        self.box.addWidget(self.act)
        self.close_button.clicked.connect(self.closed)
        self.table.row_selected.connect(self._selected)
        self.act.pressed_as.connect(self._pressed)

    def set_filter(self, text: str) -> None:
        """Only nodes that match."""
        self.table.set_filter(text)

    def place_changed(self) -> None:
        """Another place: nothing is armed there."""
        self.confirm.forget()
        self._said = ("", "")

    def refresh(self) -> None:
        """Read what is so now."""
        now_us, state = self.cockpit.clock_us(), self.state
        shares = self._shares()
        mine = (d for d in state.deeds.values() if (d.service, d.environment) == (self.service, self.environment) and d.kind in (OUT, BACK))
        deeds = {d.subject: d for d in sorted(mine, key=lambda d: d.at_us)}
        rows = node_rows(state.fleets.get(self.place), shares, now_us, deeds)
        self.table.set_rows(rows)
        if rows and self.table.selected() is None and not self.table.rows_model.filter_text:
            self.table.select(rows[0].name)
        self.heading.set_text(self._heading(now_us))
        self._show_chosen()

    def _shares(self) -> Fact[dict[str, int]] | None:
        """What the balancer says; where nobody asks it what a rollout set there, which is no word about now."""
        told, known = self.state.shares.get(self.place), shares_set(self.state.rollouts.values(), self.service, self.environment)
        return told if told is not None or known is None else Fact(known[0], known[1], known[2], 0.0)

    def _heading(self, now_us: int) -> str:
        shares = self._shares()
        if not self.environment:
            return "Choose a place in the overview"
        where = f"Nodes of {plain(self.service, 80)} in {plain(self.environment, 80)}"
        if shares is None:
            return f"{where}; nobody tells how the traffic is shared"
        if self.place not in self.state.shares:
            return f"{where}; traffic as a rollout set it {age_text(shares.age_s(now_us))} ago, not read since"
        late = "stale, " if shares.stale(now_us) else ""
        return f"{where}; traffic {late}as of {age_text(shares.age_s(now_us))} ago, {plain(shares.source, 60)}"

    @property
    def chosen(self) -> tuple[NodeRow | None, str]:
        """The selected node, and what would be done to it: out of the traffic, or back where it has no share."""
        row: NodeRow | None = self.table.selected()
        return row, BACK if row is not None and row.share == 0 else OUT

    def _selected(self, row: Any) -> None:
        self.confirm.forget()
        self._said = ("", "")
        self._show_chosen()

    def _why_not(self, row: NodeRow, deed: str) -> tuple[str, ...]:
        nodes = getattr(self._core, "nodes", None)
        if nodes is None:
            return ("nothing can be done yet: the systems are being connected",)
        found: tuple[str, ...] = nodes.why_not(deed, self.service, self.environment, row.name)
        return found

    def _show_chosen(self) -> None:
        row, deed = self.chosen
        if row is None:
            self.detail.set_rows([])
            self.act.set_look("refused", "Choose a node")
            self.say.set_row("", "")
            return
        reasons = self._why_not(row, deed)
        if reasons:
            self.confirm.forget()
        last = row.deed
        rows = [(str(last.state), f"{_deed_words(last)}: {plain(last.message, 300) or last.state}", "", "activity")] if last else []
        rows += [("blocked", plain(reason, 300), "", _place(reason)) for reason in reasons]
        self.detail.set_rows(rows or [("ok", "Nothing speaks against it. Freezes do not: a bad node must go at once.", "", "")])
        self.say.set_row(*self._said)
        self._show_button(row, deed, bool(reasons))

    def _show_button(self, row: NodeRow, deed: str, refused: bool) -> None:
        name = plain(row.name, 60)
        what = f"Take {name} out of the traffic" if deed == OUT else f"Bring {name} back into the traffic"
        if refused:
            self.act.set_look("refused", what, "refused: the reasons stand above")
        elif self.confirm.name == f"{deed} {row.name}":
            left_s = self.confirm.remaining_s
            self.act.set_look("armed", f"{what} now", f"a second click does it; {left_s:.0f} s left", left_s / ARM_S)
        else:
            self.act.set_look("ready", f"{what}…", "at once; asks once more")

    def _pressed(self, double: bool, repeat: bool) -> None:
        row, deed = self.chosen
        if row is None or double or repeat or self._why_not(row, deed):
            return
        if not self.confirm.press(f"{deed} {row.name}"):
            self._show_chosen()
            return
        nodes, at = self._core.nodes, (self.service, self.environment, row.name)
        try:
            (nodes.take_out if deed == OUT else nodes.bring_back)(*at, self.reason.words)
        except CockpitError as error:
            self._said = ("blocked", f"{error.message} {error.hint}".strip())
        else:
            self._said = ("running", "Sent. What holds is read again at once.")
            self.reason.clear()
        self.refresh()


def _deed_words(deed: Deed) -> str:
    return "Taking it out" if deed.kind == OUT else "Bringing it back"


def _place(reason: str) -> str:
    return "sources" if "connected" in reason or "answer" in reason else ""
