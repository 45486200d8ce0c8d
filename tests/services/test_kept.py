"""What memory holds of a series: bounded, extremes of a day, nothing lost between the parts."""

from __future__ import annotations

import math
from array import array
from typing import Any

import numpy as np
import pytest

from cockpit.domain.metrics import LatencyPoint
from cockpit.services.kept import COLUMNS, KEPT, OUTLINE_US, OUTLINES, Kept, Outline
from cockpit.services.latency import LatencyBook
from tests.fakes.running import FakeMain, InlineRunner

DAY_US = 86_400_000_000
BASE = 1_800_000_000_000_000


def table(first_us: int, count: int, step_us: int = 100_000, p99: float = 5.0) -> list[array[float]]:
    at = first_us + np.arange(count) * step_us
    return [array("d", at.astype(float).tobytes()), *(array("d", [v] * count) for v in (1.0, 2.0, p99, math.nan, 10.0, 0.0, 50.0))]


def test_a_day_at_ten_points_a_second_stays_small_and_keeps_a_spike() -> None:
    kept = Kept("s")
    for minute in range(24 * 60):
        columns = table(BASE + minute * 60_000_000, 600)
        if minute == 100:
            columns[3][300] = 900.0
        kept.extend(columns)
    assert KEPT <= len(kept) <= KEPT * 11 // 8 + 1
    assert kept.outline is not None
    at, *values = kept.outline.columns(0, math.inf)
    assert len(at) == 2 * (DAY_US // OUTLINE_US - (len(kept) * 100_000) // OUTLINE_US)
    assert at.tolist() == sorted(set(at))
    highest = int(np.argmax(values[2]))
    assert values[2][highest] == 900.0
    assert abs(at[highest] - (BASE + 100 * 60_000_000 + 30_000_000)) <= OUTLINE_US
    assert all(math.isnan(v) for v in values[3]), "what is not known stays so"


def test_the_outline_is_a_ring_and_a_piece_may_come_in_parts() -> None:
    outline = Outline()
    assert outline.first_us == math.inf
    assert len(outline.columns(0, math.inf)[0]) == 0
    values = np.ones((6, 1))
    for number in range(OUTLINES + 10):
        for part, height in ((1, 2.0), (2, 7.0), (3, math.nan)):
            outline.fold(np.array([float(number * OUTLINE_US + part)]), values * height)
    assert outline.first_us == 10 * OUTLINE_US
    at, p50, *_ = outline.columns(0, math.inf)
    assert len(at) == 2 * OUTLINES
    assert p50[:4].tolist() == [2.0, 7.0, 2.0, 7.0]
    window = outline.columns(100 * OUTLINE_US, 102 * OUTLINE_US - 1)
    assert window[0].tolist() == [(100 + i) * OUTLINE_US + OUTLINE_US * q / 4 for i in (0, 1) for q in (1, 3)]


def test_more_than_a_ring_at_once() -> None:
    outline = Outline()
    at = np.arange(OUTLINES * 2) * float(OUTLINE_US)
    outline.fold(at, np.tile(np.arange(OUTLINES * 2.0), (6, 1)))
    found = outline.columns(0, math.inf)
    assert found[1][0] == OUTLINES
    assert found[1][-1] == OUTLINES * 2 - 1


def test_points_go_forward_also_in_blocks() -> None:
    kept = Kept("s")
    kept.extend(table(BASE, 10))
    kept.extend(table(BASE, 12))
    assert not kept.append(LatencyPoint(BASE, 1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 1.0))
    assert kept.append(LatencyPoint(BASE + 1_200_000, None, 2.0, 3.0, 4.0, 5.0, None, 1.0))
    assert len(kept) == 13
    assert kept.columns[0].tolist() == [BASE + i * 100_000 for i in range(13)]
    assert len(kept.columns) == COLUMNS
    assert math.isnan(kept.columns[1][-1])


def test_not_all_series_make_room_at_once() -> None:
    rooms = {Kept(f"service@production/node-{i}/*")._room for i in range(200)}
    assert len(rooms) > 150
    assert min(rooms) > KEPT + 100


@pytest.mark.parametrize("rate_us", [100_000, 2_000_000])
def test_outline_and_whole_points_meet_without_overlap(fake_clock: Any, rate_us: int) -> None:
    book = LatencyBook(InlineRunner(FakeMain(fake_clock)), None, fake_clock)
    book.add_block([("s", table(BASE, 10_000, rate_us))])
    first, last = book.span("s")
    assert last == BASE + 9_999 * rate_us
    outline, columns = book.outline("s", 0, math.inf), book.columns("s", BASE, BASE + DAY_US)
    assert outline.at_us[-1] < first == columns.at_us[0]
    assert first - outline.at_us[-1] <= OUTLINE_US
    assert book.outlined_from("s") <= BASE
    assert (book.span("other"), book.outlined_from("other"), len(book.outline("other", 0, 1).at_us)) == ((math.inf,) * 2, math.inf, 0)
