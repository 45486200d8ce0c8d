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
