"""A table of 100,000 rows against QSortFilterProxyModel over the same rows, columns, texts and sort values; and what live changes cost.

The rival's model is a lean one in Python, with sort values under a role of their own. Both stand in a view that is shown, with a row
selected, and paint within what is measured: processor time until the window shows the answer. What one shows is checked against the other.
The first key the moment the rows came: nothing is read ahead yet. What the top of the window shows is right at once (the figure), the rest
is found in the turns after it (a figure of its own).
Changed cells: a batch each 100 ms for some seconds, as share of one core, garbage collected as the window does it; what the same window
takes with nothing changing is the rival.
"""

from __future__ import annotations

import gc
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import msgspec
from _frames import application, on_screen, settle
from PySide6.QtCore import QAbstractTableModel, QCoreApplication, QEventLoop, QModelIndex, QSortFilterProxyModel, Qt, QTimer
from PySide6.QtWidgets import QAbstractItemView, QTableView

from ui.models.table import Column
from ui.models.text import count_text, ms_text, percent_text, time_text
from ui.startup import Collector
from ui.widgets.table_view import ROW_PX, TableView

ROWS = 100_000
SIZE = (1280, 800)
ROOT = QModelIndex()
KEYS = ("r", "re", "rele", "release", "rele")
SECONDS = 6.0
BATCHES_PER_S, CELLS = 10, 100
ASCENDING, DESCENDING = Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder
SORT_ROLE = Qt.ItemDataRole.UserRole
WORDS = ("Release", "rollback of", "order", "matched", "Rejected", "session", "relay", "gateway", "book", "quote", "venue", "risk limit")


class Row(msgspec.Struct, frozen=True):
    """Something of each kind."""

    id: int
    service: str
    state: str
    count: int
    took_ms: float | None
    errors: float
    at_us: int
    message: str


COLUMNS = (
    Column("Order", lambda r: f"order {r.id}", sort_key=lambda r: r.id, width=110),
    Column("Service", lambda r: r.service, width=130),
    Column("State", lambda r: r.state, state=lambda r: r.state, width=90),
    Column("Count", lambda r: count_text(r.count), sort_key=lambda r: r.count, align="right", width=90),
    Column("Took", lambda r: ms_text(r.took_ms), sort_key=lambda r: r.took_ms, align="right", width=90),
    Column("Errors", lambda r: percent_text(r.errors), sort_key=lambda r: r.errors, align="right", width=80),
    Column("At", lambda r: time_text(r.at_us), sort_key=lambda r: r.at_us, width=190),
    Column("Message", lambda r: r.message, stretch=True),
)


def rows(count: int) -> list[Row]:
    """The same ones each time."""
    chance = random.Random(5)
    services = [f"{a}-{b}" for a in ("order", "Risk", "quote", "market") for b in ("gateway", "matching", "relay", "store")]
    return [
        Row(
            i,
            chance.choice(services),
            chance.choice(("ok", "failed", "running", "pending")),
            chance.randrange(1_000_000),
            chance.choice((None, chance.expovariate(0.1))),
            chance.random() ** 8,
            1_800_000_000_000_000 + chance.randrange(10**12),
            f"{' '.join(chance.choices(WORDS, k=4))} {chance.randrange(10**6)}",
        )
        for i in range(count)
    ]


def sort_value(row: Row, column: int) -> Any:
    """What a column sorts by, in a form that a QVariant compares as we do."""
    reader = COLUMNS[column].sort_key or COLUMNS[column].text
    value = reader(row)
    return value.casefold() if isinstance(value, str) else float("-inf") if value is None else value


class LeanModel(QAbstractTableModel):
    """The rival's source: no more than it must answer."""

    def __init__(self, given: list[Row]) -> None:
        super().__init__()
        self.given = given

    def rowCount(self, parent: Any = ROOT) -> int:
        """Rows."""
        return 0 if parent.isValid() else len(self.given)

    def columnCount(self, parent: Any = ROOT) -> int:
        """Columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def data(self, index: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, or the value to sort by."""
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[index.column()].text(self.given[index.row()])
        if role == SORT_ROLE:
            return sort_value(self.given[index.row()], index.column())
        return None


def took_s(deed: Callable[[], object]) -> float:
    """Processor seconds until the view shows what was done."""
    started = time.process_time()
    deed()
    # lays out and paints what waits for it
    QCoreApplication.sendPostedEvents()
    return time.process_time() - started


class Ours:
    """The table of the window."""

    def __init__(self, given: list[Row]) -> None:
        self.view = TableView(COLUMNS, lambda r: r.id, "Orders")
        self.view.timeless = True
        on_screen(self.view, SIZE)
        self.view.set_rows(given)
        self.view.select(given[len(given) // 2].id)

    def warm(self) -> None:
        """Let it read ahead for the filter, as it does in the first seconds."""
        while self.view.rows_model._search.timer.isActive():
            settle()

    def sort(self, column: int, order: Qt.SortOrder) -> float:
        """Seconds."""
        return took_s(lambda: self.view.sortByColumn(column, order))

    def filter(self, text: str) -> float:
        """Seconds."""
        return took_s(lambda: self.view.set_filter(text))

    def rows(self) -> list[Row]:
        """What it shows."""
        return list(self.view.rows_model.rows)


class Rival:
    """A plain QTableView over a QSortFilterProxyModel."""

    def __init__(self, given: list[Row]) -> None:
        self.model = LeanModel(given)
        self.proxy = QSortFilterProxyModel()
        self.proxy.setSourceModel(self.model)
        self.proxy.setSortRole(SORT_ROLE)
        self.proxy.setFilterKeyColumn(-1)
        self.proxy.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.view = QTableView()
        self.view.setModel(self.proxy)
        self.view.verticalHeader().setDefaultSectionSize(ROW_PX)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        on_screen(self.view, SIZE)
        self.view.selectRow(len(given) // 2)

    def sort(self, column: int, order: Qt.SortOrder) -> float:
        """Seconds."""
        return took_s(lambda: self.view.sortByColumn(column, order))

    def filter(self, text: str) -> float:
        """Seconds."""
        return took_s(lambda: self.proxy.setFilterFixedString(text))

    def rows(self) -> list[Row]:
        """What it shows."""
        return [self.model.given[self.proxy.mapToSource(self.proxy.index(i, 0)).row()] for i in range(self.proxy.rowCount())]


def entry(name: str, pairs: list[tuple[float, float]], target: float) -> dict[str, object]:
    """Medians of both in milliseconds, and the median of the pairs' ratios."""
    ratio = statistics.median(a / b for a, b in pairs)
    return {
        "name": name,
        "ours": round(statistics.median(a for a, _ in pairs) * 1e3, 2),
        "rival": round(statistics.median(b for _, b in pairs) * 1e3, 2),
        "unit": "ms",
        "ratio": round(ratio, 5),
        "target": target,
        "holds": ratio <= target,
    }


def sorting(ours: Ours, rival: Rival) -> list[dict[str, object]]:
    """By each column in turn, up and down; the first time of all columns by itself, when nothing is remembered yet, and that of texts.

    The rival remembers nothing, and takes most of the bench's time: it goes once from column to column, ours twice the same way.
    """
    path = [(column, (ASCENDING, DESCENDING)[column % 2]) for column in range(len(COLUMNS))]
    first: list[tuple[float, float]] = []
    for step in path:
        sides: tuple[Any, Any] = (ours, rival) if step[0] % 2 else (rival, ours)
        took = {side: side.sort(*step) for side in sides}
        first.append((took[ours], took[rival]))
        mine, theirs = ([sort_value(row, step[0]) for row in side.rows()] for side in (ours, rival))
        assert mine == theirs, f"{COLUMNS[step[0]].title} is sorted otherwise"
    again = [(ours.sort(*step), theirs) for step, (_, theirs) in zip(path, first, strict=True)]
    name = f"{ROWS:,} rows sorted"
    results = [entry(f"{name} by {c.title}", [pair], 1 / 100) for c, pair in zip(COLUMNS, again, strict=True)]
    return [
        *results,
        entry(f"{name} by a column for the first time", first, 1 / 100),
        entry(f"{name} by {COLUMNS[-1].title}, texts all different, for the first time", first[-1:], 1 / 100),
    ]


def filtering(ours: Ours, rival: Rival) -> list[dict[str, object]]:
    """The first key the moment the rows came; then, all read, typed key by key and taken back: all keys and the first one by itself."""
    theirs = rival.filter(KEYS[0])
    at_once = ours.filter(KEYS[0])
    shown, top = ours.rows(), rival.rows()[: SIZE[1] // ROW_PX]
    assert shown[: len(top)] == top, f"{KEYS[0]} shows otherwise"
    all_found = at_once + took_s(ours.warm)
    assert [row.id for row in ours.rows()] == [row.id for row in rival.rows()], f"{KEYS[0]} finds otherwise"
    for side in (ours, rival):
        side.filter("")
    found: list[tuple[float, float]] = []
    for turn, key in enumerate(KEYS):
        sides: tuple[Any, Any] = (ours, rival) if turn % 2 else (rival, ours)
        took = {side: side.filter(key) for side in sides}
        found.append((took[ours], took[rival]))
        assert {row.id for row in ours.rows()} == {row.id for row in rival.rows()}, f"{key} matches otherwise"
    for side in (ours, rival):
        side.filter("")
    name = f"{ROWS:,} rows filtered"
    return [
        entry(f"{name} at each key", found[1:], 1 / 20),
        entry(f"{name} at the first key", found[:1], 1 / 20),
        entry(f"{name} at a key the moment they came, until the window shows what is found", [(at_once, theirs)], 1 / 20),
        entry(f"{name} at a key the moment they came, until all were read, in turns", [(all_found, theirs)], 1 / 20),
    ]


class Live:
    """Batches of changed cells into a table on screen: `seen` of each batch lie in the rows in sight, the others anywhere.

    They are made before the clock runs, and given as the changed rows or as `whole` lists of all.
    """

    def __init__(self, view: TableView, given: list[Row], seen: int, whole: bool) -> None:
        self.view, self.given, self.whole = view, list(given), whole
        chance, tick = random.Random(9), 0
        sight = view.rows_model.rows[: view.viewport().height() // ROW_PX]
        near, least = [row.id for row in sight], max(row.count for row in sight)
        made = list(given)
        self.batches: list[list[Row]] = []
        for _ in range(round(SECONDS * BATCHES_PER_S) + 5):
            ids = chance.choices(near, k=seen) + [chance.randrange(len(given)) for _ in range(CELLS - seen)]
            for i in ids:
                tick += 1
                field = ("count", "errors", "message")[tick % 3]
                # what is in sight stays there where the table is sorted by it
                count = chance.randrange(least if i in near else 1_000_000)
                value = {"count": count, "errors": chance.random(), "message": f"release {tick}"}[field]
                made[i] = msgspec.structs.replace(made[i], **{field: value})
            self.batches.append([made[i] for i in dict.fromkeys(ids)])
        self.batches.reverse()

    def batch(self) -> None:
        """New values in as many cells."""
        rows = self.batches.pop()
        if self.whole:
            for row in rows:
                self.given[row.id] = row
            self.view.set_rows(self.given)
        else:
            self.view.change_rows(rows)

    def share(self, changing: bool) -> float:
        """Share of one core over some seconds."""
        timer, loop = QTimer(), QEventLoop()
        timer.setTimerType(Qt.TimerType.PreciseTimer)
        timer.setInterval(1000 // BATCHES_PER_S)
        if changing:
            timer.timeout.connect(self.batch)
        timer.start()
        QTimer.singleShot(round(SECONDS * 1000 if changing else SECONDS * 300), loop.quit)
        started, since = time.process_time(), time.monotonic()
        loop.exec()
        share = (time.process_time() - started) / (time.monotonic() - since)
        timer.stop()
        return share


def changing(ours: Ours, given: list[Row]) -> list[dict[str, object]]:
    """1,000 cells a second: anywhere, a tenth in sight, all, in a column that the table is sorted by, and given with all other rows."""
    results = []
    cases = (
        ("anywhere", 0, -1, False),
        ("100 of them in sight", 10, -1, False),
        ("all in sight", CELLS, -1, False),
        ("sorted by a column that changes", 10, 3, False),
        ("100 in sight, told by giving all rows again", 10, -1, True),
    )
    for name, seen, column, whole in cases:
        ours.view.sortByColumn(column, ASCENDING)
        ours.view.set_rows(given)
        ours.view.rows_model.clear_tints()
        ours.warm()
        settle()
        live = Live(ours.view, given, seen, whole)
        idle, busy = live.share(False), live.share(True)
        live.batch()
        near = range(ours.view.rowAt(0), ours.view.rowAt(400))
        assert not seen or any(ours.view.rows_model.tinted(n, c) for n in near for c in range(len(COLUMNS)))
        results.append(
            {
                "name": f"1,000 changed cells a second among {ROWS:,} rows, {name}",
                "ours": round(busy * 100, 2),
                "rival": round(idle * 100, 2),
                "unit": "% of a core",
                "ratio": round(busy, 5),
                "target": 0.05,
                "holds": busy <= 0.05,
            }
        )
    return results


def run() -> list[dict[str, object]]:
    """One entry for each column, for the filter's keys, and for each kind of live change."""
    application()
    given = rows(ROWS)
    ours, rival = Ours(given), Rival(given)
    results = filtering(ours, rival) + sorting(ours, rival)
    rival.view.close()
    collector = Collector(ours.view)
    gc.collect()
    gc.freeze()
    try:
        results += changing(ours, given)
    finally:
        collector.deleteLater()
        gc.unfreeze()
        gc.enable()
    ours.view.close()
    return results
