"""Help: all keyboard shortcuts, and the guide, as plain pages beside the work."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QGridLayout, QTabWidget, QVBoxLayout, QWidget

from cockpit.paths import resource
from ui.views.base import button, text_pane
from ui.widgets.texts import Text

SHORTCUTS: tuple[tuple[str, str], ...] = (
    ("1 to 8", "Versions, Checks, Latency, Approvals, Activity, Sources, Notices, Alerts"),
    ("Arrows, j, k", "Walk cells and rows"),
    ("Enter", "Open what is chosen: a cell its latency, a version its card"),
    ("/", "Filter"),
    ("E", "Choose the environment"),
    ("A", "Approvals"),
    ("F", "Freezes"),
    ("T", "In Checks: trends over versions, and back to the run"),
    ("L", "In Notices and on the bar below: I look at it"),
    ("Shift+R", "Arm the card"),
    ("Ctrl+Enter", "Fire what is armed"),
    ("Shift+S", "Stop an automatic rollback that is counted down"),
    ("W", "The watch: of the countdown, else of the selected place"),
    ("Esc", "Disarm, clear the filter, go back"),
    ("F5", "Ask all sources now"),
    ("Ctrl+C", "Copy what is selected, as text"),
    ("Tab, Shift+Tab", "Next and previous control, in reading order"),
    ("?", "This page"),
    ("F1", "The guide"),
)


class HelpDialog(QDialog):
    """Not modal; Esc closes it."""

    def __init__(self, page: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Help")
        self.resize(640, 560)
        self.pages = QTabWidget(self)
        self.pages.addTab(self._shortcuts(), "Shortcuts")
        self.pages.addTab(self._guide(), "Guide")
        self.pages.setCurrentIndex(1 if page == "guide" else 0)
        close = button("Close", self)
        close.clicked.connect(self.close)
        box = QVBoxLayout(self)
        box.setContentsMargins(16, 16, 16, 16)
        box.setSpacing(8)
        box.addWidget(self.pages, 1)
        box.addWidget(close, 0, Qt.AlignmentFlag.AlignRight)

    def _shortcuts(self) -> QWidget:
        page = QWidget(self)
        grid = QGridLayout(page)
        grid.setHorizontalSpacing(24)
        grid.setVerticalSpacing(8)
        for row, (keys, words) in enumerate(SHORTCUTS):
            grid.addWidget(Text(keys, role="strong", elide=False, parent=page), row, 0)
            grid.addWidget(Text(words, parent=page), row, 1)
        grid.setColumnStretch(1, 1)
        grid.setRowStretch(len(SHORTCUTS), 1)
        return page

    def _guide(self) -> QWidget:
        page = text_pane("Guide", self)
        page.setPlainText(guide_text())
        return page


def guide_text() -> str:
    """All pages of the guide, in the order of their names; what to do where they are missing."""
    files = sorted(resource("guide").glob("*.md"))
    texts = [path.read_text(encoding="utf-8", errors="replace").strip() for path in files]
    return "\n\n".join(texts) or "The guide is not part of this installation. The shortcuts beside it and the README hold the essentials."
