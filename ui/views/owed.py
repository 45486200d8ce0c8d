"""What people said of a place and what they owe: reviews of emergencies, requests that stand, versions that are held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from cockpit.domain.errors import CockpitError
from cockpit.domain.statements import debts, holds, requests
from ui.models.text import plain
from ui.models.trust import debt_words, hold_words, request_words
from ui.widgets.action_rows import ActionRows, Item

if TYPE_CHECKING:
    from cockpit.app import Cockpit


class Owed(QWidget):
    """A row for each, with the one thing that can be done about it. `said` carries (state, words) of what came of it.

    `comment` is asked for the words that go with it.
    """

    said = Signal(str, str)

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cockpit: Any = cockpit
        self._things: dict[str, Any] = {}
        self._key: tuple[object, ...] = ()
        self.comment = ""
        self.rows = ActionRows("What stands and what is owed", self)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.rows)
        self.rows.chosen.connect(self._chosen)

    def show_place(self, service: str, environment: str) -> None:
        """Read what stands there now; read again only when a word or the minute is another one."""
        now_us, statements = self._cockpit.clock_us(), self._cockpit.store.state.statements
        key = (statements, service, environment, now_us // 60_000_000)
        if self._key and self._key[0] is statements and self._key[1:] == key[1:]:
            return
        self._key = key
        here = tuple(s for s in statements if (s.service, s.environment) == (service, environment))
        items = [*self._debts(here, now_us), *self._requests(here, now_us), *self._holds(here, now_us)]
        self.rows.set_items(items)
        self.setVisible(bool(items))

    def _debts(self, here: Any, now_us: int) -> list[Item]:
        items = []
        for debt in debts(here):
            key = f"debt {debt.about} {debt.id}"
            self._things[key] = debt
            why = plain(self._cockpit.words.why_not_sign_off(debt), 200)
            words = f"Review owed: {debt_words(debt, now_us)}" + (f". You cannot sign it off: {why}" if why else "")
            items.append(Item(key, "blocked", words, "Sign off", why))
        return items

    def _requests(self, here: Any, now_us: int) -> list[Item]:
        items = []
        for request in requests(here, now_us):
            key = f"request {request.id}"
            self._things[key] = request
            items.append(Item(key, "pending", request_words(request, now_us), "Withdraw"))
        return items

    def _holds(self, here: Any, now_us: int) -> list[Item]:
        items = []
        for hold in holds(here):
            key = f"hold {hold.digest}"
            self._things[key] = hold
            why = plain(self._cockpit.words.why_not_clear(hold), 200)
            items.append(Item(key, "held", hold_words(hold, now_us), "Clear", why))
        return items

    def _chosen(self, key: str) -> None:
        kind, thing, words = key.partition(" ")[0], self._things.get(key), self._cockpit.words
        reason = self.comment
        if thing is None:
            return
        if kind in ("debt", "hold") and not reason:
            what = "signing off" if kind == "debt" else "clearing a hold"
            self.said.emit("blocked", f"Write the comment first: {what} needs a word why.")
            return
        deeds = {"debt": words.sign_off, "request": words.withdraw, "hold": words.clear}
        done = {"debt": "Signed off.", "request": "Withdrawn: nothing goes by itself.", "hold": "The hold is cleared."}
        try:
            deeds[kind](thing, reason)
        except CockpitError as error:
            self.said.emit("blocked", f"{error.title}: {error.message} {error.hint}".strip())
        else:
            self.said.emit("ok", done[kind])
