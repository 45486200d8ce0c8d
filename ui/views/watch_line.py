"""The watch of a place in one line of another screen; a click shows all of it."""

from __future__ import annotations

from PySide6.QtCore import SignalInstance

from ui.models.watch import fresh, glance, idle, line_words
from ui.views.base import View
from ui.widgets.texts import Row


class WatchLine(Row):
    """Hidden where nothing is watched. Cut at its end where there is no room, whole in the tooltip."""

    def __init__(self, view: View, went: SignalInstance) -> None:
        super().__init__(view, one_line=True)
        self._view = view
        self.went.connect(went)
        view.beside["watches"] = self.refresh
        self.hide()

    def refresh(self) -> None:
        """Say what is so now."""
        now_us = self._view.cockpit.clock_us()
        watched = fresh(self._view.state.watches.get(self._view.place), now_us)
        self.setVisible(watched is not None)
        if watched is not None:
            quiet = idle(watched, self._view.state.latency.get(self._view.place), now_us)
            self.set_row(glance(watched, now_us)[0], line_words(watched, now_us, quiet), "", "watch")
