"""The diffing model: random updates under Qt's own tester, and selection that follows its row."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest
from msgspec import Struct
from PySide6.QtCore import QAbstractItemModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtTest import QAbstractItemModelTester

from ui.models import table
from ui.models.table import Column, RowsModel, runs


class Item(Struct, frozen=True):
    """A row."""

    id: int
    word: str
    size: float = 0.0


COLUMNS = (
    Column("Id", lambda r: str(r.id), sort_key=lambda r: r.id),
    Column("Word", lambda r: r.word),
    Column("Size", lambda r: f"{r.size:g}", sort_key=lambda r: None if r.size == 0 else r.size, quiet=True),
)


@pytest.fixture
def model(qapp):
    found = RowsModel(COLUMNS, lambda r: r.id)
    yield found
    found._timer.stop()
    found.deleteLater()


def ids(model: RowsModel) -> list[int]:
    """What is shown."""
    return [r.id for r in model.rows]


def test_random_updates_keep_the_model_sound(model: RowsModel, qtbot) -> None:
    tester = QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    chance = random.Random(7)
    persistent: dict[int, QPersistentModelIndex] = {}
    for turn in range(300):
        numbers = chance.sample(range(60), chance.randrange(0, 40))
        rows = [Item(n, chance.choice("abc"), chance.choice((0.0, 1.5, 3.0))) for n in numbers]
        match turn % 7:
            case 3:
                model.set_filter(chance.choice(("", "a", "b 1")))
            case 5:
                model.sort(chance.randrange(-1, 3), chance.choice((Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder)))
        model.set_rows(rows)
        for key, index in persistent.items():
            if index.isValid():
                assert model.row(index).id == key
        persistent = {model.key_at(i): QPersistentModelIndex(model.index(i, 0)) for i in range(model.rowCount())}
        assert set(ids(model)) <= set(numbers)
    assert isinstance(tester.model(), QAbstractItemModel)


def test_repeated_keys_are_all_shown(model: RowsModel, qtbot) -> None:
    tester = QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    model.set_rows([Item(1, "a"), Item(1, "b"), Item(2, "c"), Item(1, "d")])
    assert [r.word for r in model.rows] == ["a", "b", "c", "d"]
    model.set_rows([Item(1, "b"), Item(2, "c"), Item(1, "e")])
    assert [r.word for r in model.rows] == ["b", "c", "e"]
    assert tester is not None


def test_a_column_that_fails_is_told_once(model: RowsModel, monkeypatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: told.append(args))

    def broken(row: Item) -> str:
        raise ValueError(row.id)

    failing = RowsModel((Column("Bad", broken, tooltip=broken, state=broken),), lambda r: r.id)
    failing.set_rows([Item(n, "") for n in range(20)])
    for i in range(20):
        assert failing.data(failing.index(i, 0)) == "–"
        assert failing.data(failing.index(i, 0), Qt.ItemDataRole.ToolTipRole)
    assert len(told) == 1
    failing.deleteLater()


def test_sorting_by_values_of_mixed_kinds(model: RowsModel) -> None:
    model.set_rows([Item(1, "b", 3.0), Item(2, "A", 0.0), Item(3, "c", float("nan")), Item(10, "", 2.0)])
    model.sort(2)
    assert ids(model)[-2:] == [10, 1]
    model.sort(1)
    assert ids(model) == [10, 2, 1, 3], "letters without case"
    model.sort(0, Qt.SortOrder.DescendingOrder)
    assert ids(model) == [10, 3, 2, 1]
    model.set_rows([Item(5, "x"), Item(7, "y"), Item(6, "z")])
    assert ids(model) == [7, 6, 5], "new rows come in sorted"
    model.sort(-1)
    assert ids(model) == [5, 7, 6], "as given"


def test_each_word_of_the_filter_must_stand_somewhere(model: RowsModel) -> None:
    model.set_rows([Item(1, "Order gateway"), Item(2, "gate of the book"), Item(12, "gateway order")])
    model.set_filter("ORDER gate")
    assert ids(model) == [1, 12]
    model.set_rows([Item(3, "order by the gate"), Item(4, "nothing")])
    assert ids(model) == [3]
    model.set_filter("")
    assert ids(model) == [3, 4]


def test_changed_cells_are_tinted_and_fade(model: RowsModel, qtbot, monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(table, "monotonic", lambda: now[0])
    model.set_rows([Item(1, "a", 1.0), Item(2, "b", 1.0)])
    assert not model.tinted(0, 1), "what is new is not changed"
    model.set_rows([Item(1, "a", 2.0), Item(2, "c", 2.0)])
    assert [model.tinted(1, c) for c in range(3)] == [False, True, False], "quiet columns are never tinted"
    assert not model.tinted(0, 2)
    assert model._timer.isActive()
    model._fade()
    assert model.tinted(1, 1)
    now[0] += table.TINT_S + 0.1
    with qtbot.waitSignal(model.dataChanged):
        model._fade()
    assert not model.tinted(1, 1)
    assert not model._timer.isActive(), "the timer rests when nothing is tinted"


def test_one_change_touches_one_row(model: RowsModel) -> None:
    rows = [Item(n, "a") for n in range(1000)]
    model.set_rows(rows)
    seen: list[tuple[int, int]] = []
    model.dataChanged.connect(lambda first, last: seen.append((first.row(), last.row())))
    rows[500] = Item(500, "b")
    rows[501] = Item(501, "b")
    model.set_rows(rows)
    assert seen == [(500, 501)]


def test_tooltips_are_never_markup(model: RowsModel) -> None:
    model.set_rows([Item(1, "<img src=x>\n<b>bold</b>")])
    tip = model.data(model.index(0, 1), Qt.ItemDataRole.ToolTipRole)
    assert "<b>" not in tip
    assert "&lt;b&gt;bold" in tip


def test_an_index_of_nowhere_answers_nothing(model: RowsModel) -> None:
    assert model.data(QModelIndex()) is None
    assert model.headerData(99, Qt.Orientation.Horizontal) is None


def test_a_hundred_thousand_rows_are_fast(model: RowsModel) -> None:
    from time import monotonic

    rows = [Item(n, f"word {n % 97}") for n in range(100_000)]
    model.set_rows(rows)
    for n in range(0, 100_000, 20):
        rows[n] = Item(n, "changed")
    start = monotonic()
    model.set_rows(rows)
    assert monotonic() - start < 5, "far above what it needs: the machine may be busy"


def test_runs() -> None:
    assert runs([1, 2, 3, 7]) == [(1, 3), (7, 7)]
    assert runs([]) == []
