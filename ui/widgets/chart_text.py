"""Words of a chart that are painted again and again: laid out once, which costs more than the painting."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainter, QStaticText

LEFT, RIGHT, TOP = (0.0, 0.5), (1.0, 0.5), (0.5, 0.0)  # in the middle of the height; TOP in that of the width
_MOST = 600  # texts that are remembered; then it is begun anew


class Words:
    """Draws single lines of plain text with the painter's font, as `drawText` would; `role` names that font."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], QStaticText] = {}

    def draw(self, painter: QPainter, box: QRectF, place: tuple[float, float], text: str, role: str) -> None:
        """Put a line into `box` at a share of the room that it leaves, across and down: LEFT, RIGHT or TOP."""
        if not text:
            return
        known = self._known.get((role, text))
        if known is None:
            known = QStaticText(text)
            known.setTextFormat(Qt.TextFormat.PlainText)
            known.prepare(painter.transform(), painter.font())
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[role, text] = known
        size = known.size()
        x, y = box.x() + (box.width() - size.width()) * place[0], box.y() + (box.height() - size.height()) * place[1]
        painter.drawStaticText(round(x), round(y), known)
