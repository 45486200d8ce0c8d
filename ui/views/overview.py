"""The overview: every service in every environment at a glance; choosing a cell drives the rest of the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QHideEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QStyledItemDelegate, QStyleOptionViewItem, QTableView, QWidget

from ui.bridge import guarded, turns_here
from ui.models.text import plain
from ui.theme import font, theme_of
from ui.views.base import View, bar, button, services_in
from ui.views.overview_cells import CELL_PX, MIN_PX, NAME_PX, Cell, Cells
from ui.views.overview_model import Index, Model
from ui.views.overview_paint import Cards, Look, kept_font, paint_words
from ui.widgets.panel import ProgressLine
from ui.widgets.texts import Text

if TYPE_CHECKING:
    from cockpit.app import Cockpit
    from cockpit.services.store import Change

READ_A_TURN = 1
TURNS = 20  # so many at most until all cells in sight are painted anew


class _Delegate(QStyledItemDelegate):
    """Paints a cell: version and age, state, what is pending, and the p99 of the last ten minutes."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._cards = Cards()

    @guarded
    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Fixed."""
        return QSize(MIN_PX, CELL_PX if index.row() % 2 else NAME_PX)

    @guarded
    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """One cell, or a service's name."""
        view = self.parent()
        if not isinstance(view, Matrix):
            return
        theme = theme_of(view)
        rect: QRect = option.rect
        cell = view.cells.cell(index)
        painter.save()
        if cell is None:
            if index.column() == 0:
                paint_words(painter, rect.adjusted(8, 4, -8, 0), plain(view.cells.services[index.row() // 2]), "strong", theme.text)
        else:
            look = Look(index == view.currentIndex(), view.hasFocus(), view.devicePixelRatioF())
            self._cards.paint(painter, rect, cell, theme, look)
        painter.restore()


class Matrix(QTableView):
    """The grid. `chosen` carries service and environment of the current cell; `opened` follows Enter and double click."""

    chosen = Signal(str, str)
    opened = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._width = 0
        self._due: dict[tuple[str, str], None] = {}
        self._turns = 0
        self.cells = Model(self)
        self.setModel(self.cells)
        self.setItemDelegate(_Delegate(self))
        self.setAccessibleName("Services and environments")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setShowGrid(False)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setTabKeyNavigation(False)
        self._dress()
        self.verticalHeader().hide()
        self.verticalHeader().setMinimumSectionSize(NAME_PX)
        head = self.horizontalHeader()
        head.setFont(font("muted"))
        head.setHighlightSections(False)
        head.setSectionsClickable(False)
        head.setFixedHeight(NAME_PX)
        head.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        head.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.selectionModel().currentChanged.connect(self._current)

    def _dress(self) -> None:
        """Cells lie on the window's ground, and the delegate alone says which one is chosen."""
        colours = self.palette()
        ground = theme_of(self).ground
        for role in (colours.ColorRole.Base, colours.ColorRole.Highlight):
            colours.setColor(role, ground)
        self.setPalette(colours)

    @guarded
    def changeEvent(self, event: QEvent) -> None:
        """Another theme: another ground."""
        super().changeEvent(event)
        kept_font.cache_clear()
        if event.type() == QEvent.Type.StyleChange:
            self._dress()
            # under a style sheet a palette does not reach a child that was shown with another one
            self.viewport().setPalette(self.palette())

    def arrange(self) -> None:
        """Spans and sizes after rows or columns changed."""
        self.clearSpans()
        for r in range(len(self.cells.services)):
            self.setRowHeight(2 * r, NAME_PX)
            self.setRowHeight(2 * r + 1, CELL_PX)
            if len(self.cells.environments) > 1:
                self.setSpan(2 * r, 0, 1, len(self.cells.environments))
        self._fit()

    def _fit(self) -> None:
        count = len(self.cells.environments)
        for c in range(count):
            self.setColumnWidth(c, max(MIN_PX, self._width // count))

    @guarded
    def resizeEvent(self, event: QResizeEvent) -> None:
        """Columns share the width."""
        super().resizeEvent(event)
        # not viewport().width(): a widget of Qt's own, seen for the first time, makes PySide load every kind of widget there is
        self._width = event.size().width()
        self._fit()

    def fill(self, cells: dict[tuple[str, str], Cell]) -> None:
        """Show these; of those that changed a few are painted a turn, since all together would hold up the hand."""
        waiting = bool(self._due)
        self._due |= dict.fromkeys(self.cells.take(cells))
        if not waiting:
            self._turns = 0
            self._tell_some()

    def _tell_some(self) -> None:
        seen = set(self.in_sight()) if self.isVisible() else set()
        now = [at for at in self._due if at in seen]
        now = now[: max(1, len(now) // (TURNS - self._turns)) if self._turns < TURNS else None]
        self._turns = self._turns + 1
        # those out of sight cost no painting
        now += [at for at in self._due if at not in seen]
        for at in now:
            del self._due[at]
            if at in self.cells.cells:
                self.cells.tell(*at)
        if self._due:
            turns_here().soon(self._tell_some)

    @guarded
    def hideEvent(self, event: QHideEvent) -> None:
        """What nobody sees costs nothing: all of it."""
        super().hideEvent(event)
        self._tell_some()

    def in_sight(self) -> list[tuple[str, str]]:
        """The places whose cells can be seen."""
        first, last = self.rowAt(0), self.rowAt(self.viewport().height() - 1)
        services = self.cells.services[max(0, first) // 2 : (last // 2 + 1) if last >= 0 else None]
        return [(service, environment) for service in services for environment in self.cells.environments]

    def choose(self, service: str, environment: str) -> bool:
        """Make that cell the current one; False where it is not shown."""
        if service not in self.cells.services or environment not in self.cells.environments:
            return False
        index = self.cells.index(2 * self.cells.services.index(service) + 1, self.cells.environments.index(environment))
        self.setCurrentIndex(index)
        self.scrollTo(index)
        return True

    def _current(self, index: QModelIndex, before: QModelIndex) -> None:
        cell = self.cells.cell(index)
        if cell is not None:
            self.chosen.emit(cell.service, cell.environment)
        if before.isValid():
            self.viewport().update()

    @guarded
    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows and j/k walk the cells, Enter opens; the rest belongs to the window."""
        steps = {Qt.Key.Key_Down: (1, 0), Qt.Key.Key_J: (1, 0), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_K: (-1, 0)}
        steps |= {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Home: (-10_000, 0), Qt.Key.Key_End: (10_000, 0)}
        step = steps.get(Qt.Key(event.key()))
        if step is not None and event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier):
            self._walk(*step)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not event.modifiers():
            self._open(self.currentIndex())
        else:
            event.ignore()

    def _walk(self, down: int, right: int) -> None:
        services, environments = len(self.cells.services), len(self.cells.environments)
        if not services or not environments:
            return
        now = self.currentIndex()
        row = min(max((now.row() // 2 if now.isValid() else 0) + down, 0), services - 1)
        column = min(max((now.column() if now.isValid() else 0) + right, 0), environments - 1)
        self.choose(self.cells.services[row], self.cells.environments[column])

    @guarded
    def mousePressEvent(self, event: QMouseEvent) -> None:
        """A click on a name chooses its service in the environment that is chosen."""
        index = self.indexAt(event.position().toPoint())
        if index.isValid() and index.row() % 2 == 0:
            column = max(0, self.currentIndex().column())
            self.setCurrentIndex(self.cells.index(index.row() + 1, column))
            return
        super().mousePressEvent(event)

    @guarded
    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Open what lies under the pointer."""
        self._open(self.indexAt(event.position().toPoint()))

    def _open(self, index: QModelIndex) -> None:
        cell = self.cells.cell(index)
        if cell is not None:
            self.opened.emit(cell.service, cell.environment)

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """The cells; without any, what would fill them."""
        super().paintEvent(event)
        if self.cells.rowCount() and self.cells.columnCount():
            return
        theme = theme_of(self)
        with QPainter(self.viewport()) as painter:
            box = self.viewport().rect().adjusted(16, 24, -16, -16)
            painter.setFont(font("body"))
            painter.setPen(theme.muted)
            painter.drawText(box, int(Qt.AlignmentFlag.AlignHCenter | Qt.TextFlag.TextWordWrap), self.accessibleDescription())


class OverviewView(View):
    """The matrix with its heading. `selected` and `opened` carry service and environment."""

    kinds = frozenset(
        ["services", "environments", "fleets", "versions", "artifacts", "latency", "deployments", "statements", "ages", "starting"]
    ) | {"alerts", "watches"}
    everywhere = True
    selected = Signal(str, str)
    opened = Signal(str, str)
    went = Signal(str)

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(cockpit, parent)
        self._cells = Cells(cockpit)
        self._filter = ""
        self._unread: dict[tuple[str, str], None] = {}
        self.setMinimumWidth(292)
        self.setAccessibleName("Overview")
        self.matrix = Matrix(self)
        self.heading = Text("Overview", role="title", parent=self)
        self.box.setContentsMargins(12, 2, 4, 12)
        self.line = ProgressLine(self)
        self.box.addWidget(self.line)
        self.needs = button("What needs what", self, role="link", tip="What of each service runs against what it needs")
        self.box.addLayout(bar(self.heading, self.needs))
        self.box.addWidget(self.matrix, 1)
        self.needs.clicked.connect(self._needs)
        self.matrix.chosen.connect(self._chosen)
        self.matrix.opened.connect(self.opened)
        self.setFocusProxy(self.matrix)

    def set_filter(self, text: str) -> None:
        """Show only services whose names hold each word."""
        self._filter = text
        self.read()

    def _chosen(self, service: str, environment: str) -> None:
        self.service, self.environment = service, environment
        self.selected.emit(service, environment)

    def _needs(self) -> None:
        self.went.emit("compatibility")

    def place_changed(self) -> None:
        """The window chose: the grid follows."""
        self.matrix.choose(self.service, self.environment)

    def on_change(self, change: Change) -> None:
        """A second that passed is for the cells that can be seen."""
        if not change.touches(*self.kinds):
            return
        cells, some = self.matrix.cells.cells, services_in(change, self.kinds)
        if change.kinds == {"ages"} and self.isVisible() and cells:
            self._read_soon(self.matrix.in_sight())
        elif some is not None and self.isVisible() and not self._late:
            self._read_soon([at for at in self.matrix.in_sight() if at[0] in some] + [at for at in cells if at[0] in some])
        else:
            super().on_change(change)

    def _read_soon(self, places: list[tuple[str, str]]) -> None:
        """A few at once, the others in the next turns: reading is cheap, but not that of fifty services."""
        waiting = bool(self._unread)
        self._unread |= dict.fromkeys(places)
        if not waiting:
            self._read_some()

    def _read_some(self) -> None:
        known = self.matrix.cells.cells
        now = list(self._unread)[:READ_A_TURN]
        for at in now:
            del self._unread[at]
        self.matrix.fill({at: self._cells.read(*at) for at in now if at in known})
        if self._unread:
            turns_here().soon(self._read_some)

    @guarded
    def hideEvent(self, event: QHideEvent) -> None:
        """What was not read yet is read when shown again."""
        super().hideEvent(event)
        self._late = self._late or bool(self._unread)
        self._unread.clear()

    def refresh(self) -> None:
        """Fill the grid."""
        self._unread.clear()
        state = self.state
        words = self._filter.lower().split()
        services = [s.name for s in state.services if all(w in s.name.lower() for w in words)]
        # a repository alone has no environments: one column without a name then carries what is named as live
        environments = [e.name for e in sorted(state.environments, key=lambda e: e.rank)] or [""] * bool(state.services)
        fresh = self.matrix.cells.shape(services, environments)
        self.matrix.fill({(s, e): self._cells.read(s, e) for s in services for e in environments})
        self.matrix.setAccessibleDescription(self._empty_words())
        self.line.set_busy(bool(state.starting))
        self.matrix.horizontalHeader().setVisible(bool(environments))
        if fresh:
            self.matrix.arrange()
            self.matrix.choose(self.service, self.environment)

    def _empty_words(self) -> str:
        if self._filter:
            return f"No service matches “{plain(self._filter)}”."
        if self.state.starting:
            return plain(self.state.starting)
        if self.cockpit.read_only:
            return (
                "No services yet, and this window only reads. Start it without --read-only: then the playground comes up by itself. "
                "Or name a service with its repository in cockpit.toml."
            )
        return "No services yet. Name one with its repository in cockpit.toml, or run: release-cockpit open PATH"
