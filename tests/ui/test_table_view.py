"""The table as a person uses it: keys, copying, selection that never jumps to another row, designed emptiness."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec import Struct
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtWidgets import QApplication

from ui import theme
from ui.models.table import Column
from ui.widgets.table_view import ROW_PX, TableView


class Item(Struct, frozen=True):
    """A row."""

    id: int
    state: str
    name: str
    digest: str = ""


COLUMNS = (
    Column("State", lambda r: r.state, state=lambda r: r.state, width=96),
    Column("Name", lambda r: r.name, stretch=True),
    Column("Digest", lambda r: r.digest[:12], copy=lambda r: r.digest, mono=True),
    Column("Trend", lambda r: "p99 4 ms", trend=lambda r: (1.0, float("nan"), 4.0, 2.0), width=80),
)
ROWS = [Item(n, ("ok", "failed", "running")[n % 3], f"name {n}", f"{n:02}" * 20) for n in range(12)]


@pytest.fixture(params=["dark", "light", "contrast"])
def view(request, qtbot, qapp: QApplication) -> Iterator[TableView]:
    theme.apply(qapp, request.param)
    found = TableView(COLUMNS, lambda r: r.id, "Things")
    qtbot.addWidget(found)
    found.resize(600, 300)
    found.set_rows(ROWS)
    found.show()
    qtbot.waitExposed(found)
    yield found
    found.rows_model._timer.stop()


def colours(image: QImage) -> set[str]:
    """All colours of a picture."""
    pixels = memoryview(image.convertToFormat(QImage.Format.Format_RGB32).constBits()).cast("B").cast("I")
    return {f"#{value & 0xFFFFFF:06x}" for value in set(pixels)}


def test_rows_are_painted_with_shape_colour_and_selection(view: TableView) -> None:
    found = theme.theme_of(view)
    seen = colours(view.grab().toImage())
    for token in ("ok", "bad", "running", "surface"):
        assert found.colour(token).name() in seen, token
    view.select(3)
    assert found.selected.name() in colours(view.grab().toImage())
    view.set_stale(True)
    assert found.bad.name() not in colours(view.viewport().grab().toImage())


def test_j_and_k_walk_and_other_letters_do_nothing(view: TableView, qtbot) -> None:
    view.setFocus()
    view.select(0)
    qtbot.keyClicks(view, "jj")
    assert view.selected().id == 2
    qtbot.keyClicks(view, "kn5")
    assert view.selected().id == 1


def test_selection_follows_its_row_and_ends_with_it(view: TableView, qtbot) -> None:
    heard: list[object] = []
    view.row_selected.connect(heard.append)
    view.select(5)
    assert heard == [ROWS[5]]
    view.set_rows(list(reversed(ROWS)))
    assert view.selected().id == 5
    view.set_rows([r for r in ROWS if r.id != 5])
    assert view.selected() is None, "no other row may be selected in its stead"
    assert heard[-1] is None
    assert not view.selected_rows()
    assert not view.select(5)


def test_enter_activates(view: TableView, qtbot) -> None:
    view.select(4)
    with qtbot.waitSignal(view.row_activated) as caught:
        qtbot.keyClick(view, Qt.Key.Key_Return)
    assert caught.args == [ROWS[4]]


def test_copy_gives_whole_values(view: TableView, qtbot) -> None:
    view.select(1)
    qtbot.keyClick(view, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClick(view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0] == f"failed\tname 1\t{'01' * 20}\tp99 4 ms"
    assert len(lines) == 2


def test_a_click_on_a_title_sorts_and_a_third_restores(view: TableView, qtbot) -> None:
    head = view.horizontalHeader()
    at = head.sectionViewportPosition(1) + 20
    from PySide6.QtCore import QPoint

    orders = []
    for _ in range(3):
        qtbot.mouseClick(head.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(at, 10))
        orders.append([r.id for r in view.rows_model.rows][:3])
    assert orders[2] == [0, 1, 2]
    assert orders[0] != orders[1]


def test_empty_says_what_would_fill_it(view: TableView) -> None:
    view.set_rows([])
    view.set_empty("No versions yet", "Tag one.")
    assert "Tag one" in view.accessibleDescription()
    with_words = view.grab().toImage()
    view.set_empty("", "")
    assert view.grab().toImage() != with_words
    view.set_rows(ROWS)
    view.set_filter("nothing like it")
    assert view.rows_model.rowCount() == 0
    assert not view.grab().isNull()


def test_rows_have_one_height_and_titles_are_not_cut(view: TableView) -> None:
    assert view.rowHeight(0) == ROW_PX
    head = view.horizontalHeader()
    for i, column in enumerate(COLUMNS):
        assert head.sectionSize(i) >= head.fontMetrics().horizontalAdvance(column.title) + 8, column.title


def test_another_theme_is_followed(view: TableView, qapp: QApplication) -> None:
    before = view.grab().toImage()
    theme.apply(qapp, "light" if theme.theme_of(view).name != "light" else "dark")
    assert view.grab().toImage() != before


def test_focus_is_visible(view: TableView, qapp: QApplication) -> None:
    view.viewport().setFocus()
    qapp.sendEvent(view, QEvent(QEvent.Type.FocusIn)) if not view.hasFocus() else None
    view.setFocus()
    if view.hasFocus():
        assert theme.theme_of(view).accent.name() in colours(view.grab().toImage())
