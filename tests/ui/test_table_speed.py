"""What makes large tables fast must not be seen: what comes late comes, what is skipped was not needed, short cuts sort alike."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtTest import QSignalSpy

from ui import theme
from ui.models import table_search
from ui.models.table import Column
from ui.models.table_column import sortable
from ui.models.table_keys import SortKeys, _stable, _text_ranks
from ui.models.table_pace import Pace
from ui.widgets.table_view import ROW_PX, TableView

ASCENDING, DESCENDING = Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder
MANY = 3000


class Item(Struct, frozen=True):
    """A row."""

    id: int
    word: str = ""
    size: float = 0.0


COLUMNS = (
    Column("Id", lambda r: f"item {r.id}", sort_key=lambda r: r.id),
    Column("Word", lambda r: r.word),
    Column("Size", lambda r: f"{r.size:g}", sort_key=lambda r: r.size, align="right"),
)


def items(count: int = MANY) -> list[Item]:
    """Rows that are all different."""
    return [Item(n, f"{('pear', 'Apple', 'fig')[n % 3]} {n * 7919 % count}", float(n * 31 % count)) for n in range(count)]


# sorting -------------------------------------------------------------------------------------------------------------------


@given(st.lists(st.text(alphabet="aAbBzßé\u0130日\U0001f600\uffff ~\x01", max_size=20), min_size=1))
def test_ranks_of_texts_sort_as_the_texts_do(texts: list[str]) -> None:
    ranks = _text_ranks(texts)
    assert ranks is not None
    folded = [text.casefold() for text in texts]
    assert [[a < b for a in ranks] for b in ranks] == [[a < b for a in folded] for b in folded]


@pytest.mark.parametrize("texts", [["a", None], ["a\0", "b"], ["a", "\ud800"], ["x" * 65, "y"]])
def test_texts_without_ranks_are_left_to_python(texts: list[str | None]) -> None:
    assert _text_ranks(list(texts)) is None
    keys = SortKeys(list(texts))
    assert keys.sorted(np.arange(2), False).tolist() == sorted(range(2), key=lambda i: sortable(texts[i]))


@given(st.lists(st.integers(-5, 5)))
def test_a_quick_sort_that_keeps_what_is_equal_as_it_came(numbers: list[int]) -> None:
    assert _stable(np.array(numbers, dtype=np.int64)).tolist() == sorted(range(len(numbers)), key=numbers.__getitem__)


def test_texts_that_change_and_come_are_sorted_with_those_that_were_there() -> None:
    texts: list[object] = [f"{n * 7919 % MANY} word" for n in range(MANY)]
    keys = SortKeys(list(texts))
    keys.sorted(np.arange(MANY), False)
    for slot, value in ((5, "zebra"), (6, 7), (7, None), (8, texts[9])):
        texts[slot] = value
        keys.put(slot, value)
    texts += ["aaa", 3]
    keys.add(["aaa", 3])
    for descending in (False, True):
        found = keys.sorted(np.arange(MANY + 2), descending).tolist()
        assert found == sorted(range(MANY + 2), key=lambda i: sortable(texts[i]), reverse=descending)


# a filter before all rows are read -------------------------------------------------------------------------------------------


@pytest.fixture
def view(qtbot, qapp) -> Iterator[TableView]:
    theme.apply(qapp, "dark")
    found = TableView(COLUMNS, lambda r: r.id, "Things")
    found.timeless = True
    qtbot.addWidget(found)
    found.resize(600, 300)
    found.show()
    qtbot.waitExposed(found)
    yield found
    model = found.rows_model
    for timer in (model._timer, model._search.timer, model._pace.timer):
        timer.stop()


@pytest.fixture
def hurried(monkeypatch) -> None:
    """A key waits for almost nothing, and what is found comes into sight in few turns."""
    monkeypatch.setattr(table_search, "FEW", 100)
    monkeypatch.setattr(table_search, "KEY_S", -1.0)
    monkeypatch.setattr(table_search, "READ_S", 1e-9)
    monkeypatch.setattr(table_search, "FOUND_S", 0.0)


def test_a_key_shows_the_top_at_once_and_the_rest_follows(view: TableView, qtbot, hurried: None, monkeypatch) -> None:
    rows = items()
    view.set_rows(rows)
    view.sortByColumn(2, DESCENDING)
    view.rows_model._search.timer.stop()
    monkeypatch.setattr(table_search, "KEY_S", 10.0)
    monkeypatch.setattr("ui.models.table_words.monotonic", iter(range(0, 100_000, 3)).__next__)  # time for some pieces
    view.set_filter("pear")
    wanted = sorted((row for row in rows if "pear" in row.word), key=lambda r: -r.size)
    shown = list(view.rows_model.rows)
    assert view.rows_model.searching
    assert 0 < len(shown) < len(wanted)
    assert shown == wanted[: len(shown)], "nothing comes between what is shown"
    done = QSignalSpy(view.rows_model.searched)
    qtbot.waitUntil(lambda: done.count() == 1)
    assert list(view.rows_model.rows) == wanted
    assert not view.rows_model.searching


def test_what_is_selected_stays_while_rows_are_still_read(view: TableView, qtbot, hurried: None) -> None:
    view.set_rows(items())
    view.select(1500)
    view.set_filter("pear")
    assert view.rows_model.searching
    assert view.selected().id == 1500
    qtbot.waitUntil(lambda: not view.rows_model.searching and view.rows_model.rowCount() == MANY // 3)
    assert view.selected().id == 1500
    view.set_filter("apple")
    assert view.selected() is None


def test_emptiness_says_that_rows_are_still_read(view: TableView, qtbot, hurried: None, monkeypatch) -> None:
    view.set_rows(items())
    said: list[tuple[bool, int]] = []
    monkeypatch.setattr(view, "_paint_empty", lambda painter, colours: said.append((view.rows_model.searching, view.rows_model.rowCount())))
    view.set_filter("nowhere")
    QCoreApplication.sendPostedEvents()
    view.grab()
    assert said[-1] == (True, 0)
    qtbot.waitUntil(lambda: bool(said) and said[-1] == (False, 0))


def test_changes_and_new_rows_while_rows_are_still_read(view: TableView, qtbot, hurried: None) -> None:
    rows = items()
    view.set_rows(rows)
    view.sortByColumn(0, ASCENDING)
    view.set_filter("pear")
    rows[1], rows[3] = Item(1, "pear now"), Item(3, "no longer")
    view.change_rows([rows[1], rows[3], Item(MANY, "pear new"), Item(MANY + 1, "other")])
    qtbot.waitUntil(lambda: not view.rows_model.searching and view.rows_model.find(3) < 0)
    assert [row.id for row in view.rows_model.rows] == [row.id for row in [*rows, Item(MANY, "pear new")] if "pear" in row.word]


# rows that come and rows that move -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [True, False])
def test_a_row_that_comes_goes_to_its_place_and_nothing_is_built_anew(view: TableView, whole: bool) -> None:
    rows = items()
    view.set_rows(rows)
    view.sortByColumn(2, ASCENDING)
    view.set_filter("apple")
    view.select(1)
    kept = view.rows_model._large
    rows.append(Item(MANY, "An apple", 1000.5))
    if whole:
        view.set_rows(rows)
    else:
        view.change_rows(rows[-1:])
    assert view.rows_model._large is kept
    assert list(view.rows_model.rows) == sorted((r for r in rows if "apple" in r.word.lower()), key=lambda r: r.size)
    assert view.selected().id == 1
    view.set_rows([Item(-1), *rows])
    assert view.rows_model._large is not kept, "in front of the others it is another matter"
    assert view.rows_model.find(MANY) >= 0


def test_rows_that_come_twice_are_told_apart(view: TableView) -> None:
    rows = items()
    view.set_rows(rows)
    view.set_rows([*rows, rows[5], rows[5]])
    assert view.rows_model.rowCount() == MANY + 2
    assert view.rows_model.key_at(MANY + 1) == (5, 3)


def test_rows_go_to_their_places_at_once_and_then_so_many_times_a_second(view: TableView, qtbot) -> None:
    view.set_rows(items())
    view.sortByColumn(2, ASCENDING)
    moved = QSignalSpy(view.rows_model.layoutChanged)
    view.change_rows([Item(7, "x", -1.0)])
    assert view.rows_model.find(7) == 0
    for n in range(20, 40):
        view.change_rows([Item(n, "x", -float(n))])
        assert view.rows_model.row_at(view.rows_model.find(n)).size == -n, "what a row holds is told at once"
    qtbot.waitUntil(lambda: view.rows_model.find(39) == 0)
    assert [view.rows_model.key_at(n) for n in range(3)] == [39, 38, 37]
    assert moved.count() < 20


def test_sorting_by_hand_puts_everything_in_its_place(view: TableView) -> None:
    view.set_rows(items())
    view.sortByColumn(2, ASCENDING)
    for n in range(3):
        view.change_rows([Item(n, "x", -1.0 - n)])
    view.sortByColumn(2, DESCENDING)
    assert [view.rows_model.key_at(MANY - 1 - n) for n in range(3)] == [2, 1, 0]
    assert not view.rows_model._large.astray


def test_pace(qapp, qtbot) -> None:
    pace = Pace(20, qapp)
    heard = QSignalSpy(pace.due)
    pace.ask()
    assert heard.count() == 1
    pace.ask()
    pace.ask()
    assert heard.count() == 1
    qtbot.waitUntil(lambda: heard.count() == 2)
    qtbot.waitUntil(lambda: not pace.timer.isActive())
    assert heard.count() == 2, "nobody asked again"
    pace.deleteLater()


# painting --------------------------------------------------------------------------------------------------------------------


def test_rows_that_change_places_are_painted_and_no_others(view: TableView, qtbot, monkeypatch) -> None:
    view.set_rows(items())
    view.sortByColumn(2, ASCENDING)
    last = view.rowAt(view.viewport().height() - 1)
    painted: set[int] = set()
    tinted = view.rows_model.tinted
    monkeypatch.setattr(view.rows_model, "tinted", lambda row, column: painted.add(row) or tinted(row, column))

    def settle() -> None:
        """All places are known and painted."""
        qtbot.waitUntil(lambda: view._before is None)
        QCoreApplication.sendPostedEvents()

    settle()
    assert painted == set(range(last + 1))
    painted.clear()
    view.change_rows([Item(view.rows_model.key_at(3), "moved", 1e9)])
    settle()
    assert painted == set(range(3, last + 1)), "those below the one that went"
    painted.clear()
    view.change_rows([Item(view.rows_model.key_at(2000), "far", 1e8)])
    view.rows_model._resort()
    settle()
    assert not painted


def test_a_picture_painted_in_pieces_is_the_picture_painted_at_once(view: TableView, qtbot) -> None:
    """What was left as it stood must look as if everything had been painted again."""
    view.resize(603, 297)
    view.set_rows(items())
    view.sortByColumn(2, DESCENDING)
    view.verticalScrollBar().setValue(ROW_PX * 5 // 2)
    view.select(view.rows_model.key_at(4))
    for n in (6, 3, 8):
        view.change_rows([Item(view.rows_model.key_at(n), "other", 1e9 + n)])
        view.rows_model._resort()
    pieces = view.viewport().grab().toImage()
    view.viewport().repaint()
    assert view.viewport().grab().toImage() == pieces
