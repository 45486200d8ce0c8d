"""Tables of many rows: after any sequence of changes they show what a plain sort and search over the same rows shows."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace
from PySide6.QtCore import QCoreApplication, QItemSelectionModel, QPersistentModelIndex, Qt
from PySide6.QtTest import QAbstractItemModelTester

from ui import theme
from ui.models import table, table_large, table_search, table_words
from ui.models.table import Column, RowsModel
from ui.models.table_column import numbered, sortable
from ui.models.table_tints import MOST, rectangles
from ui.widgets.table_view import TableView

ASCENDING, DESCENDING = Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder
NAN = float("nan")
VALUES = (None, NAN, 0, 1, -1, True, 0.0, -0.0, 2.5, float("inf"), -float("inf"), 2**53, 2**53 + 1, -(2**63), 10**400, 2**53 + 1.0)
TEXTS = ("", "a", "A", "b", "ß", "SS", "ab c", "Straße", "\u0130", "z\0", "z")


class Item(Struct, frozen=True):
    """A row."""

    id: int
    word: str = ""
    size: Any = 0
    odd: Any = None
    said: str = ""  # tells rows apart that Python calls equal: 1 and True, 0.0 and -0.0


COLUMNS = (
    Column("Id", lambda r: str(r.id), sort_key=lambda r: r.id),
    Column("Word", lambda r: r.word),
    Column("Size", lambda r: str(r.size), sort_key=lambda r: r.size),
    Column("Odd", lambda r: str(r.odd), sort_key=lambda r: r.odd, quiet=True, copy=lambda r: f"copy {r.odd}"),
)

items = st.builds(
    Item,
    id=st.integers(0, 12),
    word=st.sampled_from(TEXTS),
    size=st.sampled_from(VALUES),
    odd=st.sampled_from((*VALUES[:6], *TEXTS[:5], (1, 2))),
).map(lambda item: replace(item, said=repr(item)))
deeds = st.one_of(
    st.tuples(st.just("set"), st.lists(items, max_size=14)),
    st.tuples(st.just("change"), st.lists(items, max_size=4)),
    st.tuples(st.just("sort"), st.tuples(st.integers(-1, 3), st.sampled_from((ASCENDING, DESCENDING)))),
    st.tuples(st.just("filter"), st.sampled_from(("", "a", "ab", "ab c", "A", "1", "1 a", "copy", "none", "ss", "nothing"))),
)


def expected(rows: list[Item], words: str, sort: tuple[int, Qt.SortOrder]) -> list[tuple[Any, Item]]:
    """Keys and rows by the plain way."""
    pairs = list(zip(numbered(rows, lambda r: r.id), rows, strict=True))
    for word in words.lower().split():
        pairs = [p for p in pairs if word in "\t".join(str((c.copy or c.text)(p[1])) for c in COLUMNS).lower()]
    if sort[0] >= 0:
        reader = COLUMNS[sort[0]].sort_key or COLUMNS[sort[0]].text
        pairs.sort(key=lambda p: sortable(reader(p[1])), reverse=sort[1] == DESCENDING)
    return pairs


def after_change(rows: list[Item], changes: list[Item]) -> list[Item]:
    """`rows` with the newest of each change in the first place of its key, and the unknown ones behind."""
    newest = {row.id: row for row in changes}
    found, known = [], set()
    for row in rows:
        found.append(row if row.id in known else newest.get(row.id, row))
        known.add(row.id)
    return found + [row for key, row in newest.items() if key not in known]


@pytest.mark.parametrize("many", [0, 1000])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(deeds, max_size=12))
def test_any_sequence_shows_what_the_plain_way_shows(qapp, monkeypatch, many: int, steps: list[Any]) -> None:
    monkeypatch.setattr(table, "LARGE", 2)
    monkeypatch.setattr(table_large, "MANY", many)
    model = RowsModel(COLUMNS, lambda r: r.id)
    model._pace.timer.setInterval(0)
    tester = QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    rows: list[Item] = []
    words, sort = "", (-1, ASCENDING)
    for what, value in steps:
        held = {model.key_at(i): QPersistentModelIndex(model.index(i, 1)) for i in range(model.rowCount())}
        match what:
            case "set":
                rows = value
                model.set_rows(rows)
            case "change":
                rows = after_change(rows, value)
                model.change_rows(value)
            case "sort":
                sort = value
                model.sort(*sort)
            case _:
                words = value
                model.set_filter(words)
        model._resort()
        # a mix of kinds that nothing compares is as hopeless the plain way
        wanted = expected(rows, words, sort)
        assert [model.key_at(i) for i in range(model.rowCount())] == [key for key, _ in wanted]
        assert [repr(row) for row in model.rows] == [repr(row) for _, row in wanted]
        assert [model.find(key) for key, _ in wanted] == list(range(len(wanted)))
        for key, index in held.items():
            assert (model.key_at(index.row()) == key) if index.isValid() else (model.find(key) < 0), "indexes follow their rows"
    model._timer.stop()
    model._search.timer.stop()
    del tester
    model.deleteLater()


@pytest.fixture
def model(qapp) -> Iterator[RowsModel]:
    found = RowsModel(COLUMNS, lambda r: r.id)
    found.set_rows([Item(n, f"word {n % 7}", n % 100) for n in range(5000)])
    assert found.large
    yield found
    found._timer.stop()
    found._pace.timer.stop()
    found._search.timer.stop()
    found.deleteLater()


def test_a_few_changes_move_few_rows_and_keep_the_order(model: RowsModel) -> None:
    chance = random.Random(3)
    rows = [Item(n, f"word {n % 7}", n % 100) for n in range(5000)]
    for column, order in ((2, ASCENDING), (2, DESCENDING), (1, ASCENDING), (-1, ASCENDING)):
        model.sort(column, order)
        model.set_filter("word")
        for _ in range(5):
            for n in chance.sample(range(5000), 40):
                rows[n] = Item(n, chance.choice(("word 3", "gone", "WORD new")), chance.choice((1, 50.5, None, -3)))
            model.set_rows(rows)
            model._resort()
            assert list(model.rows) == [row for _, row in expected(rows, "word", (column, order))]
        model.set_filter("")
        assert list(model.rows) == [row for _, row in expected(rows, "", (column, order))]


def test_what_is_far_is_told_without_reading_its_cells(qapp) -> None:
    read: list[int] = []

    def text(row: Item) -> str:
        read.append(row.id)
        return row.word

    model = RowsModel((Column("Word", text, sort_key=lambda r: r.id),), lambda r: r.id)
    rows = [Item(n, "a") for n in range(5000)]
    model.set_rows(rows)
    model.in_sight = lambda: (10, 20)
    seen: list[tuple[int, int]] = []
    model.dataChanged.connect(lambda first, last: seen.append((first.row(), last.row())))
    read.clear()
    for n in (3, 12, 13, 700, 701, 4000):
        rows[n] = Item(n, "b")
    model.set_rows(rows)
    assert sorted(seen) == [(3, 3), (12, 13), (700, 4000)], "one rectangle for all that is above, one for all below"
    assert set(read) == {12, 13}
    assert model.tinted(12, 0)
    assert model.tinted(700, 0), "compared when somebody looks"
    assert not model.tinted(14, 0)
    model._timer.stop()
    model._search.timer.stop()
    model.deleteLater()


def test_tints_fade_where_rows_went_meanwhile(model: RowsModel, monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(table, "monotonic", lambda: now[0])
    model.change_rows([Item(7, "word 0", 999), Item(4000, "word x", 4000 % 100)])
    model.sort(2, DESCENDING)
    at = model.find(7)
    assert [model.tinted(at, c) for c in range(4)] == [False, False, True, False]
    seen: list[tuple[int, int, int, int]] = []
    model.dataChanged.connect(lambda a, b: seen.append((a.row(), a.column(), b.row(), b.column())))
    now[0] += 1
    model._fade()
    assert not seen
    now[0] += table.TINT_S
    model._fade()
    assert (at, 2, at, 2) in seen
    assert not model.tinted(at, 2)
    assert not model._timer.isActive()


def test_a_change_of_everything_is_told_at_once(model: RowsModel) -> None:
    seen: list[tuple[int, int]] = []
    model.in_sight = lambda: (0, 30)
    model.dataChanged.connect(lambda a, b: seen.append((a.row(), b.row())))
    model.set_rows([Item(n, "other", n % 100) for n in range(5000)])
    assert len(seen) <= 3
    assert model.tinted(3000, 1)
    assert not model.tinted(3000, 0)


def test_each_text_is_read_once_and_again_when_its_row_changed(qapp) -> None:
    read: list[int] = []

    def text(row: Item) -> str:
        read.append(row.id)
        return row.word

    model = RowsModel((Column("Word", text),), lambda r: r.id)
    rows = [Item(n, ("release", "relay", "order")[n % 3]) for n in range(3000)]
    model.set_rows(rows)
    for key in ("r", "re", "rel", "rele", "rel", ""):
        model.set_filter(key)
        assert model.rowCount() == {"": 3000, "r": 3000, "re": 2000, "rel": 2000, "rele": 1000}[key]
    assert sorted(read) == list(range(3000))
    read.clear()
    rows[2] = Item(2, "release")
    model.set_rows(rows)
    model.set_filter("rele")
    assert model.rowCount() == 1001
    assert set(read) == {2}
    rows[5] = Item(5, "release")
    rows[0] = Item(0, "order")
    model.set_rows(rows)
    model._resort()
    assert model.rowCount() == 1001, "a filter in force learns of changes"
    assert model.find(0) < 0 <= model.find(5)
    model._timer.stop()
    model.deleteLater()


def test_texts_are_read_ahead_and_the_timer_rests(qapp, qtbot, monkeypatch) -> None:
    monkeypatch.setattr(table_search, "FEW", 1000)
    model = RowsModel(COLUMNS, lambda r: r.id)
    model.set_rows([Item(n, "a") for n in range(3000)])
    assert model._search.timer.isActive()
    qtbot.waitUntil(lambda: not model._search.timer.isActive())
    assert model._large is not None
    assert model._large.words.unread == 0
    model.deleteLater()


def test_ages_are_read_again_when_a_filter_begins_late(qapp, monkeypatch) -> None:
    now, age = [100.0], ["1 min"]
    monkeypatch.setattr(table_words, "monotonic", lambda: now[0])
    model = RowsModel((Column("Age", lambda r: age[0], quiet=True),), lambda r: r.id)
    model.set_rows([Item(n) for n in range(2500)])
    model.set_filter("1")
    model.set_filter("")
    age[0], now[0] = "2 min", now[0] + table_words.FRESH_S + 1
    model.set_filter("2")
    assert model.rowCount() == 2500
    model._search.timer.stop()
    model.deleteLater()


def test_a_column_that_fails_is_sorted_and_searched_all_the_same(qapp, monkeypatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: told.append(args))

    def broken(row: Item) -> str:
        if row.id == 1234:
            raise ValueError(row.id)
        return row.word

    model = RowsModel((Column("Bad", broken), Column("Id", lambda r: str(r.id))), lambda r: r.id)
    model.set_rows([Item(n, "a") for n in range(2500)])
    model.sort(0, DESCENDING)
    assert model.key_at(0) == 1234, "the dash stands behind the letters"
    model.set_filter("1234")
    assert model.rowCount() == 1
    assert len(told) == 1
    model._search.timer.stop()
    model.deleteLater()


def test_rectangles_of_cells() -> None:
    assert rectangles([(1, 2), (1, 3), (2, 2), (2, 3), (5, 0), (6, 1)]) == [(1, 2, 2, 3), (5, 0, 5, 0), (6, 1, 6, 1)]
    assert rectangles([]) == []
    assert rectangles((n * 2, n % 3) for n in range(MOST + 1)) == [(0, 0, MOST * 2, 2)]


def test_small_tables_do_without_numpy() -> None:
    script = """
import sys
from PySide6.QtCore import QCoreApplication
app = QCoreApplication([])
from ui.models.table import Column, RowsModel
model = RowsModel((Column("A", str),), lambda r: r)
model.set_rows(range(1999))
model.sort(0); model.set_filter("1"); model.change_rows([5])
assert model.rowCount() > 100
assert "numpy" not in sys.modules and "ui.models.table_large" not in sys.modules
model.set_rows(range(2000))
assert "numpy" in sys.modules
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 0, answer.stderr


# the view ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def view(qtbot, qapp) -> Iterator[TableView]:
    theme.apply(qapp, "dark")
    found = TableView(COLUMNS, lambda r: r.id, "Things")
    qtbot.addWidget(found)
    found.resize(600, 300)
    found.set_rows([Item(n, f"word-{n % 7}", n % 100) for n in range(5000)])
    found.show()
    qtbot.waitExposed(found)
    yield found
    found.rows_model._timer.stop()
    found.rows_model._search.timer.stop()


def test_selection_follows_through_sorting_and_filtering(view: TableView) -> None:
    heard: list[object] = []
    view.select(1234)
    view.row_selected.connect(heard.append)
    view.sortByColumn(2, DESCENDING)
    view.set_filter("word-2")
    assert view.selected().id == 1234
    assert [r.id for r in view.selected_rows()] == [1234]
    assert not heard
    view.set_filter("word-3")
    assert view.selected() is None, "no other row may be selected in its stead"
    assert not view.selected_rows()
    assert heard == [None]
    view.set_filter("")
    assert view.rows_model.rowCount() == 5000
    assert view.verticalHeader().count() == 5000


def test_all_rows_selected_and_filtered(view: TableView) -> None:
    view.selectAll()
    view.set_filter("word-2")
    shown = view.rows_model.rows
    assert all(r.word == "word-2" for r in view.selected_rows())
    assert len(view.selected_rows()) in (0, len(shown))
    view.sortByColumn(0, DESCENDING)
    view.set_filter("")
    assert all(r.word == "word-2" for r in view.selected_rows()), "what comes back comes unselected"
    both = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
    view.selectionModel().select(view.rows_model.index(3, 0), both)
    assert len(view.selected_rows()) == 1


def test_a_row_that_goes_from_a_large_table_takes_its_selection_along(view: TableView) -> None:
    view.select(100)
    view.set_rows([Item(n, "") for n in range(5000) if n != 100])
    assert view.selected() is None
    view.select(101)
    view.set_rows([Item(n, "") for n in range(101, 120)])
    assert not view.rows_model.large
    assert view.selected().id == 101
    view.set_rows([Item(n, "") for n in range(3000)])
    assert view.rows_model.large
    assert view.selected().id == 101


def test_a_changed_cell_in_sight_is_painted_and_tinted(view: TableView) -> None:
    view.timeless = True
    tint = theme.theme_of(view).changed
    before = view.grab().toImage()
    view.change_rows([Item(2, "changed", 2), Item(4900, "far", 0)])
    after = view.grab().toImage()
    assert after != before
    at = view.visualRect(view.rows_model.index(2, 1)).topRight() + view.viewport().pos()
    assert after.pixelColor(at.x() - 2, at.y() + 2) == tint
    assert before.pixelColor(at.x() - 2, at.y() + 2) != tint


def test_what_changes_out_of_sight_is_not_painted(view: TableView, qtbot, monkeypatch) -> None:
    view.timeless = True
    painted: list[int] = []
    view.grab()
    monkeypatch.setattr(view.rows_model, "tinted", lambda row, column: bool(painted.append(row)))
    view.change_rows([Item(n, "far") for n in range(100, 4000)])
    QCoreApplication.sendPostedEvents()
    assert not painted
    view.change_rows([Item(2, "near"), Item(4500, "far")])
    qtbot.waitUntil(lambda: bool(painted))
    assert set(painted) == {2}


def test_ages_of_a_large_table_are_painted_once_a_second(view: TableView, monkeypatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("ui.widgets.table_view.monotonic", lambda: now[0])
    assert view._ages_moved()
    assert not view._ages_moved()
    now[0] += 1.0
    assert view._ages_moved()
    view.timeless = True
    now[0] += 1.0
    assert not view._ages_moved()
