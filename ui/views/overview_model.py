"""The rows and columns of the overview: two rows a service, a column an environment."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtWidgets import QWidget

from ui.bridge import guarded
from ui.models.text import as_of_text, plain, tooltip_text
from ui.views.overview_cells import Cell

Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()


class Model(QAbstractTableModel):
    """Two rows a service: its name across, its cells below."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.services: list[str] = []
        self.environments: list[str] = []
        self.cells: dict[tuple[str, str], Cell] = {}

    def shape(self, services: list[str], environments: list[str]) -> bool:
        """Take rows and columns; answers whether they are others."""
        if (services, environments) == (self.services, self.environments):
            return False
        self.beginResetModel()
        self.services, self.environments, self.cells = services, environments, {}
        self.endResetModel()
        return True

    def take(self, cells: dict[tuple[str, str], Cell]) -> list[tuple[str, str]]:
        """Have these besides the others; answers which of them changed. `tell` is for the caller."""
        changed = [at for at, cell in cells.items() if self.cells.get(at) != cell]
        self.cells.update(cells)
        return changed

    def tell(self, service: str, environment: str) -> None:
        """That cell changed."""
        index = self.index(2 * self.services.index(service) + 1, self.environments.index(environment))
        self.dataChanged.emit(index, index)

    def cell(self, index: Index) -> Cell | None:
        """The cell at an index; None in a row of names."""
        if not index.isValid() or index.row() % 2 == 0:
            return None
        return self.cells.get((self.services[index.row() // 2], self.environments[index.column()]))

    @guarded
    def rowCount(self, parent: Index = _ROOT) -> int:
        """Two rows a service."""
        return 0 if parent.isValid() else 2 * len(self.services)

    @guarded
    def columnCount(self, parent: Index = _ROOT) -> int:
        """One column an environment."""
        return 0 if parent.isValid() else len(self.environments)

    @guarded
    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Environments across the top."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole and section < len(self.environments):
            return plain(self.environments[section]) or "no environment named"
        return None

    @guarded
    def flags(self, index: Index) -> Qt.ItemFlag:
        """Names are not chosen, cells are."""
        if index.row() % 2 == 0:
            return Qt.ItemFlag.ItemIsEnabled
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable

    @guarded
    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Words for accessibility and tooltips; the delegate paints from the cells."""
        if not index.isValid():
            return None
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            cell = self.cell(index)
            return cell.sentence if cell else plain(self.services[index.row() // 2])
        if role == Qt.ItemDataRole.ToolTipRole:
            cell = self.cell(index)
            if cell is None:
                return tooltip_text(self.services[index.row() // 2])
            return tooltip_text("\n".join(line for line in (cell.sentence, cell.odd, as_of_text(cell.as_of_us)) if line))
        return None
