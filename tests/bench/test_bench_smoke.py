"""The benches of the window measure what they say: yesterday's data is checked for, and the server answers with another body each time."""

from __future__ import annotations

import importlib.util
import json
import sys
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def result(name: str, ours: float) -> dict[str, Any]:
    return {"name": name, "ours": ours, "rival": 1.0, "unit": "s", "ratio": ours, "target": 1.0, "holds": True}


def test_a_run_of_some_keeps_the_results_of_the_others(tmp_path: Path) -> None:
    run, out = loaded("run"), tmp_path / "build" / "bench.json"
    run.write(out, [result("a", 1.0), result("b", 1.0)], some=False)
    run.write(out, [result("b", 2.0), result("c", 2.0)], some=True)
    assert [(r["name"], r["ours"]) for r in json.loads(out.read_text())] == [("a", 1.0), ("b", 2.0), ("c", 2.0)]
    run.write(out, [result("c", 3.0)], some=False)
    assert [r["name"] for r in json.loads(out.read_text())] == ["c"], "a whole run keeps no name that is gone"
    out.write_text("[{")
    run.write(out, [result("a", 4.0)], some=True)
    assert [r["name"] for r in json.loads(out.read_text())] == ["a"]


def test_start_shows_yesterday(tmp_path: Path) -> None:
    bench: Any = loaded("bench_startup")._Bench(tmp_path)
    assert bench.ours() > 0
    assert bench.empty() > 0


def test_start_without_yesterday_counts_for_nothing(tmp_path: Path) -> None:
    bench: Any = loaded("bench_startup")._Bench(tmp_path)
    bench.data = tmp_path / "nothing"
    bench.data.mkdir()
    with pytest.raises(AssertionError, match="should have been painted"):
        bench.ours()


def test_server_answers_large_and_new() -> None:
    bench: Any = loaded("bench_ui_lateness")
    with bench._server() as port:
        address = f"http://127.0.0.1:{port}/v1/services/service-07/runs?limit=50"
        bodies = []
        for _ in range(2):
            with urllib.request.urlopen(address, timeout=10) as answer:
                bodies.append(answer.read())
    assert bodies[0] != bodies[1]
    assert all(len(body) > 190_000 and json.loads(body)["runs"][0]["service"] == "service-07" for body in bodies)


def test_a_short_day_goes_through_the_window_and_its_spike_is_painted(tmp_path: Path) -> None:
    bench: Any = loaded("bench_memory")
    bench._configure(tmp_path / "data")
    hours = 0.05
    ours = bench._measured(tmp_path, "_memory_ours.py", str(hours))
    bench.checked(ours, hours)
    assert 50 < ours["empty_mb"] <= ours["peak_mb"] < 400
    flat, hidden = {"points": 10, "highest_ms": 9.0, "painted": True}, ours["whole"] | {"painted": False}
    for wrong in ({"points": 1}, {"second": flat}, {"whole": hidden}):
        with pytest.raises(AssertionError):
            bench.checked(ours | wrong, hours)
