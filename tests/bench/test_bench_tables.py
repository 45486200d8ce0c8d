"""The bench of the tables compares what it says: both sides show the same, and a wrong order or match is not measured."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from ui.models import table

HERE = Path(__file__).parent


@pytest.fixture
def bench(qapp, monkeypatch) -> Any:
    monkeypatch.syspath_prepend(str(HERE))
    spec = importlib.util.spec_from_file_location("bench_tables", HERE / "bench_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bench_tables", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROWS", 400)
    monkeypatch.setattr(module, "SECONDS", 0.3)
    monkeypatch.setattr(table, "LARGE", 100)
    return module


def test_all_figures_come_out_and_both_sides_agree(bench: Any) -> None:
    results = bench.run()
    assert len(results) == 4 + len(bench.COLUMNS) + 2 + 5
    assert all(r["ours"] > 0 and r["rival"] >= 0 and r["holds"] is (r["ratio"] <= r["target"]) for r in results)


def test_another_order_or_match_is_not_measured(bench: Any, monkeypatch) -> None:
    given = bench.rows(200)
    ours, rival = bench.Ours(given), bench.Rival(given)
    rival.model.given = given[:100] + bench.rows(300)[200:]
    with pytest.raises(AssertionError, match="finds otherwise"):
        bench.filtering(ours, rival)
    with pytest.raises(AssertionError, match="is sorted otherwise"):
        bench.sorting(ours, rival)
    ours.view.close()
    rival.view.close()
