"""Steps of other systems that wait for a person at the selected place; each is answered with two clicks and the comment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from cockpit.domain.deeds import Deed
from cockpit.domain.errors import CockpitError
from cockpit.domain.gates import Gate
from cockpit.services.gates import gates_of
from ui.models.text import age_text, plain
from ui.widgets.action_rows import ActionRows, Item
from ui.widgets.arming import Confirm

if TYPE_CHECKING:
    from cockpit.app import Cockpit

WHO = 4  # people who are named


class Waiting(QWidget):
    """Two rows a gate: what waits, with its yes; and its no. `said` carries (state, words) of what came of it; `comment` goes along."""

    said = Signal(str, str)

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__(parent)
        self._cockpit: Any = cockpit
        self._things: dict[str, tuple[str, Gate, bool]] = {}
        self._at = ("", "")
        self.comment, self.asking = "", False
        self.confirm = Confirm(clock_s)
        self.rows = ActionRows("Waiting elsewhere", self)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.rows)
        self.rows.chosen.connect(self._chosen)

    def show_place(self, service: str, environment: str) -> None:
        """Read what waits there now."""
        state, now_us = self._cockpit.store.state, self._cockpit.clock_us()
        self._at, self.asking = (service, environment), bool(self.confirm.name)
        self._things, items = {}, []
        for source_id, gate in gates_of(state, service, environment):
            items += self._items(source_id, gate, now_us)
        waiting = {gate.id for _, gate, _ in self._things.values()}
        answers = (d for d in state.deeds.values() if d.kind.endswith("-gate") and d.service == service)
        shown = [d for d in answers if d.environment in ("", environment)]
        items += [_deed_item(d) for d in sorted(shown, key=lambda d: -d.at_us)[:3] if not d.state.final or d.subject not in waiting]
        self.rows.set_items(items)
        self.setVisible(bool(items))

    def _items(self, source_id: str, gate: Gate, now_us: int) -> list[Item]:
        fact = self._cockpit.store.state.gates.get(f"{gate.service}:{source_id}")
        stale = fact is not None and fact.stale(now_us)
        since = f", since {age_text((now_us - gate.asked_at_us) / 1e6)}" if gate.asked_at_us else ""
        who = ", ".join(plain(w, 60) for w in gate.who[:WHO]) + (f" and {len(gate.who) - WHO} more" if len(gate.who) > WHO else "")
        parts = [f"Waiting in {plain(fact.source if fact else source_id, 60)}: {plain(gate.title, 200)}", plain(gate.version, 60)]
        words = " ".join(p for p in parts if p) + since + (f"; {who} may" if who else "")
        if stale and fact is not None:
            words += f"; heard {age_text(fact.age_s(now_us))} ago"
        found: list[Item] = []
        for approve, deed in ((True, gate.approve), (False, gate.reject)):
            if not deed:
                continue
            key = f"{'yes' if approve else 'no'} {source_id} {gate.id}"
            self._things[key] = (source_id, gate, approve)
            why = "; ".join(self._why_not(source_id, gate, approve))
            if why and found:
                continue  # the row above says why neither is possible from here
            asked = self.confirm.name == key
            said = words if not found else f"or {plain(deed, 40).lower()} it: a rejection names its reason"
            cannot = f". Not from here: {plain(why, 200)}" if why and not found else ""
            # beside the buttons of the votes here, its own say where they act
            shown = f"{'Really: ' if asked else ''}{plain(deed, 30)} there"
            found.append(Item(key, "stale" if stale else "pending" if not found else "", f"{said}{cannot}", "" if why else shown, why))
        return found or [Item(gate.id, "pending", words)]

    def _why_not(self, source_id: str, gate: Gate, approve: bool) -> tuple[str, ...]:
        gates = getattr(self._cockpit, "gates", None)
        if gates is None:
            return ("the systems are being connected",)
        found: tuple[str, ...] = gates.why_not(source_id, gate, approve)
        return found

    def _chosen(self, key: str) -> None:
        thing = self._things.get(key)
        if thing is None:
            return
        source_id, gate, approve = thing
        if not approve and not self.comment:
            self.said.emit("blocked", "A rejection names its reason: write it into the comment, then reject.")
            return
        if not self.confirm.press(key):
            self.show_place(*self._at)
            return
        try:
            self._cockpit.gates.decide(source_id, gate, approve, self.comment)
        except CockpitError as error:
            self.said.emit("blocked", f"{error.message} {error.hint}".strip())
        else:
            self.said.emit("ok", "Sent. What came of it stands here.")


def _deed_item(deed: Deed) -> Item:
    what = "Approving" if deed.kind == "approve-gate" else "Rejecting"
    words = f"{what} “{plain(deed.title, 120)}”: {deed.state}" + (f", {plain(deed.message, 200)}" if deed.message else "")
    return Item(deed.key, str(deed.state), words)
