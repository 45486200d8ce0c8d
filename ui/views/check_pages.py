"""The two pages of the checks view: the run, and its trends over versions, made when they are first wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QStackedWidget, QVBoxLayout, QWidget

from ui.views.base import View, button

if TYPE_CHECKING:
    from ui.views.trends import TrendsPage


class CheckPages(QStackedWidget):
    """`box` is the run's layout. `turned` tells that the other page is shown; the key T turns them within `view`."""

    turned = Signal()

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._view = view
        self._filter = ""
        self.trends: TrendsPage | None = None
        page = QWidget(self)
        self.addWidget(page)
        self.box = QVBoxLayout(page)
        self.box.setContentsMargins(0, 0, 0, 0)
        self.box.setSpacing(8)
        self.button = button("Trends", page, tip="Durations, benchmarks and flaky tests over versions (T)")
        self.button.clicked.connect(self.turn)
        key = QShortcut(QKeySequence("T"), view, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)
        key.setAutoRepeat(False)
        key.activated.connect(self.turn)

    def turn(self) -> None:
        """To the trends, and back."""
        if self.trends is None:
            # pages that are never looked at cost nothing
            from ui.views.trends import TrendsPage

            self.trends = TrendsPage(self._view.cockpit, self)
            self.addWidget(self.trends)
            self.trends.closed.connect(self.turn)
            self.trends.set_filter(self._filter)
        self.setCurrentIndex(1 - self.currentIndex())
        if self.on_trends:
            self.trends.begin()
        self.turned.emit()
        if self.on_trends:
            self.trends.measures.setFocus(Qt.FocusReason.OtherFocusReason)
        else:
            self.button.setFocus(Qt.FocusReason.OtherFocusReason)

    @property
    def on_trends(self) -> bool:
        """Whether the trends are what is seen."""
        return self.currentIndex() == 1

    def due(self, now_us: int) -> bool:
        """Whether something that is seen on the trends is over by now."""
        return self.trends is not None and 0 < self.trends.next_us <= now_us

    def show_trends(self, service: str) -> bool:
        """Show this service as of now, where the trends are what is seen; answers whether they are."""
        if self.trends is None or not self.on_trends:
            return False
        self.trends.show_service(service)
        return True

    def set_filter(self, text: str) -> None:
        """Only measures and tests that match."""
        self._filter = text
        if self.trends is not None:
            self.trends.set_filter(text)
