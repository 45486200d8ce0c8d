"""The window's head: where one is, the filter, how the sources do, the time in UTC; below it the playground's switch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QAction, QIcon, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QApplication, QButtonGroup, QComboBox, QHBoxLayout, QLineEdit, QMenu, QPushButton, QVBoxLayout, QWidget

from cockpit.services.store import Change
from ui.bridge import guarded
from ui.models.text import clock_text, health_words, plain, time_tooltip, tooltip_text
from ui.theme import Theme, apply, theme_of
from ui.views.base import button
from ui.views.freeze_label import FreezeButton, PolicyButton
from ui.views.watch_strip import WatchStrip
from ui.widgets.panel import StateLabel
from ui.widgets.shapes import fill, paint_state
from ui.widgets.texts import Text

if TYPE_CHECKING:
    from cockpit.app import Cockpit

THEME_NAMES = {"dark": "dark", "light": "light", "contrast": "high contrast"}
REGIMES = ("calm", "volatile", "crash")
_MADE_UP = "Playground: a small made-up venue on this computer. Nothing here is real trading."
_ASK_EVERY = 5  # seconds between questions for the playground's regime
WIDE_PX = 1600
_LOUD = ("failed", "stopped", "stale", "pending", "ok")


class Header(QWidget):
    """`environment_chosen`, `filter_changed`, `sources_wanted`, `page_wanted` (freezes or policy), `help_wanted` (page), `theme_chosen`."""

    environment_chosen = Signal(str)
    filter_changed = Signal(str)
    sources_wanted = Signal()
    page_wanted = Signal(str)
    help_wanted = Signal(str)
    theme_chosen = Signal(str)

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cockpit = cockpit
        self._ticks, self._chosen = 0, ""
        self._themes: dict[str, QAction] = {}
        self._build_row()
        self.banner = PlaygroundBanner(cockpit, self)
        self.watch = self.banner.watch
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addLayout(self._row)
        box.addWidget(self.banner)
        self.refresh()

    def _build_row(self) -> None:
        self.title = Text("Release Cockpit", role="title", elide=False, parent=self)
        self.environment = QComboBox(self)
        self.environment.setAccessibleName("Environment")
        self.environment.setMinimumWidth(128)
        self.filter = QLineEdit(self)
        self.filter.setPlaceholderText("/ filter")
        self.filter.setAccessibleName("Filter")
        self.filter.setClearButtonEnabled(True)
        self.filter.setFixedWidth(128)
        self.progress = StateLabel("body", self)
        self.read_only = StateLabel("strong", self)
        self.policy, self.freeze = PolicyButton(self._cockpit, self), FreezeButton(self._cockpit, self)
        self.sources = button("sources", self, tip="Open Sources")
        self.help = button("Help", self)
        menu = QMenu(self.help)
        menu.addAction("Keyboard shortcuts", self._shortcuts)
        menu.addAction("Guide", self._guide)
        menu.aboutToShow.connect(self._offer_themes)
        self.help.setMenu(menu)
        self.clock = Text(role="number", elide=False, parent=self)
        self._row = QHBoxLayout()
        self._row.setContentsMargins(16, 8, 16, 8)
        self._row.setSpacing(12)
        left: tuple[QWidget, ...] = (self.title, self.environment, self.filter, self.progress)
        right: tuple[QWidget, ...] = (self.read_only, self.policy, self.freeze, self.sources, self.help, self.clock)
        for widget in left:
            self._row.addWidget(widget)
        self._row.addStretch(1)
        for widget in right:
            self._row.addWidget(widget)
        self.environment.activated.connect(self._picked)
        self.filter.textChanged.connect(self.filter_changed)
        self.sources.clicked.connect(self.sources_wanted)
        self.freeze.clicked.connect(self._freezes)
        self.policy.clicked.connect(self._policy)

    def _picked(self, index: int) -> None:
        self.environment_chosen.emit(self.environment.itemData(index))

    def _offer_themes(self) -> None:
        """The themes, at the first time that the menu opens."""
        menu = self.help.menu()
        if not self._themes:
            menu.addSeparator()
            for name, words in THEME_NAMES.items():
                self._themes[name] = menu.addAction(f"Theme: {words}")
                self._themes[name].setData(name)
                self._themes[name].setCheckable(True)
            menu.triggered.connect(self._menu_chosen)
        for name, action in self._themes.items():
            action.setChecked(name == theme_of(self).name)

    def _menu_chosen(self, action: QAction) -> None:
        app = QApplication.instance()
        if action.data() in self._themes and isinstance(app, QApplication):
            apply(app, action.data())
            self.theme_chosen.emit(action.data())

    def _freezes(self) -> None:
        self.page_wanted.emit("freezes")

    def _policy(self) -> None:
        self.page_wanted.emit("policy")

    def show_place(self, service: str, environment: str) -> None:
        """Tell of this place: its environment, and whether it is frozen."""
        self.show_environment(environment)
        self.freeze.show_place(service, environment)

    def _shortcuts(self) -> None:
        self.help_wanted.emit("shortcuts")

    def _guide(self) -> None:
        self.help_wanted.emit("guide")

    def show_environment(self, name: str) -> None:
        """Say which environment is selected, even before it is in the list."""
        self._chosen = name
        index = self.environment.findData(name)
        if index >= 0 and index != self.environment.currentIndex():
            self.environment.setCurrentIndex(index)

    def on_change(self, change: Change) -> None:
        """The state changed, or a second passed."""
        if change.touches("environments", "starting"):
            self.refresh()
            return
        if change.touches("watches"):
            self.banner.refresh()
        if change.touches("sources"):
            self._paint_sources(self._cockpit.clock_us())
        if change.touches("freezes", "statements"):
            self.freeze.refresh()

    def tick(self) -> None:
        """A second passed."""
        self._ticks += 1
        self.refresh()
        if self._ticks % _ASK_EVERY == 1:
            self.banner.ask()

    def refresh(self) -> None:
        """Paint what is so now."""
        state, now_us = self._cockpit.store.state, self._cockpit.clock_us()
        names = [e.name for e in sorted(state.environments, key=lambda e: e.rank)]
        if names != [self.environment.itemData(i) for i in range(self.environment.count())]:
            self.environment.clear()
            for name in names:
                self.environment.addItem(plain(name, 60), name)
            self.show_environment(self._chosen)
        self.environment.setEnabled(bool(names))
        self.progress.show_state("starting" if state.starting else "", plain(state.starting))
        self.progress.setVisible(bool(state.starting))
        self._paint_read_only()
        self.freeze.refresh()
        self.policy.refresh()
        self._paint_sources(now_us)
        self.clock.set_text(clock_text(now_us), time_tooltip(now_us))
        self.banner.refresh()

    def _paint_read_only(self) -> None:
        only = self._cockpit.read_only
        self.read_only.show_state("held" if only else "", "read-only" if only else "")
        self.read_only.setToolTip(tooltip_text(str(only) if isinstance(only, str) else ""))
        self.read_only.setVisible(bool(only))

    def _paint_sources(self, now_us: int) -> None:
        sources = list(self._cockpit.store.state.sources.values())
        states = {s.state(now_us) for s in sources}
        worst = next((w for w in _LOUD if w in states), "")
        words = health_words(sources, now_us)
        text = f"sources {words}" if words else "no sources"
        crowded = any(not widget.isHidden() for widget in (self.policy, self.read_only, self.progress))
        if crowded and self.width() < WIDE_PX and len(states) > 2:
            # the others need their room; the page and the tooltip have the rest
            fine = sum(s.state(now_us) == "ok" for s in sources)
            text = f"sources {fine} ok, {len(sources) - fine} not"
        self.sources.setToolTip(f"Sources: {words or 'none'}. A click opens them.")
        if text != self.sources.text():
            self.sources.setText(text)
            self.sources.setIcon(state_icon(worst, theme_of(self), self.devicePixelRatioF()) if worst else QIcon())
            self.sources.setAccessibleName(f"sources: {words or 'none'}")

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """A surface with an edge below."""
        theme = theme_of(self)
        with QPainter(self) as painter:
            fill(painter, self.rect(), theme.surface)
            painter.setPen(QPen(theme.line, 0))
            painter.drawLine(self.rect().bottomLeft(), self.rect().bottomRight())


def state_icon(word: str, theme: Theme, ratio: float) -> QIcon:
    """A state's shape as an icon, sharp at the screen's scale."""
    pixmap = QPixmap(round(16 * ratio), round(16 * ratio))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    with QPainter(pixmap) as painter:
        paint_state(painter, QRectF(2, 2, 12, 12), word, theme)
    return QIcon(pixmap)


class PlaygroundBanner(QWidget):
    """Says that all of this is made up, and switches the market's mood. In its words' place a rollback is counted down.

    Without a playground it is there where something may be rolled back automatically.
    """

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cockpit = cockpit
        self.setAccessibleName("Playground")
        self.watch = WatchStrip(cockpit, self)
        self.words = self.watch.idle
        self.group = QButtonGroup(self)
        self.group.setExclusive(True)
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 4, 16, 4)
        row.setSpacing(4)
        row.addWidget(self.watch, 1)
        row.addSpacing(8)
        self._market: list[QWidget] = [Text("Market", ink="muted", elide=False, parent=self)]
        for word in REGIMES:
            choice = button(word, self, role="flat", checkable=True, tip=f"Switch the traffic to {word}")
            choice.setAccessibleName(f"Market {word}")
            self.group.addButton(choice)
            self._market.append(choice)
        for part in self._market:
            row.addWidget(part)
        self.group.buttonClicked.connect(self._clicked)

    def refresh(self) -> None:
        """Show what is there by now: the playground begins after the window, and ends where a settings file is made."""
        made_up = self._cockpit.playground is not None
        self.watch.idle_words = _MADE_UP if made_up else ""
        for part in self._market:
            part.setVisible(made_up)
        self.watch.refresh()
        self.setVisible(made_up or self.watch.wants_room())

    def ask(self) -> None:
        """Show which regime is on, as last answered."""
        playground = self._cockpit.playground
        if playground is None:
            return
        word = playground.regime()
        for choice in self.group.buttons():
            if choice.text() == word:
                choice.setChecked(True)

    def _clicked(self, choice: QPushButton) -> None:
        if self._cockpit.playground is not None:
            self._cockpit.playground.set_regime(choice.text())

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """Raised, so that nobody takes it for the real thing."""
        theme = theme_of(self)
        with QPainter(self) as painter:
            fill(painter, self.rect(), theme.raised)
            if self._cockpit.playground is not None:
                fill(painter, QRectF(0, 0, 4, self.height()), theme.running)
            painter.setPen(QPen(theme.line, 0))
            painter.drawLine(self.rect().topLeft(), self.rect().topRight())
