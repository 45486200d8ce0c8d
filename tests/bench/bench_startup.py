"""From spawning the process to the first painted window with yesterday's data in it, against an empty window and one with a chart."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from cockpit.services.runtime import now_us
from cockpit.storage.database import open_database
from cockpit.storage.history import History
from tests.fakes import believable

PAIRS = 9
AGAINST_EMPTY = 1.7
AGAINST_CHART = 0.45
DAY_US = 86_400_000_000
LIMIT_S = 60.0
_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]

_SERVICE = """
[services.{name}]
repository = "repo"
tag_pattern = "{name}/v{{version}}"
path = "services/{name}"
"""
_REST = """
[me]
name = "Bench"
email = "bench@playground.invalid"
[environments.staging]
rank = 1
[environments.production]
rank = 2
approvals = 1
production = true
after = "staging"
"""


def yesterday(data: Path) -> None:
    """A data directory as the window left it a day ago: settings and a snapshot."""
    data.mkdir(parents=True)
    (data / "cockpit.toml").write_text("".join(_SERVICE.format(name=name) for name in believable.RELEASED) + _REST, encoding="utf-8")
    saved_us = now_us() - DAY_US
    kept, believable.NOW_US = believable.NOW_US, saved_us
    try:
        state = believable.believable_state()
    finally:
        believable.NOW_US = kept
    database = open_database(data / "cockpit.sqlite")
    try:
        History(database).save_snapshot("state", msgspec.json.encode(state), saved_us)
    finally:
        database.close()


class _Bench:
    """Starts the programs one after the other, each with warm bytecode below a cache directory of its own."""

    def __init__(self, scratch: Path) -> None:
        self._stamp = scratch / "painted"
        self.data = scratch / "data"
        yesterday(self.data)
        left_out = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "DISPLAY", "WAYLAND_DISPLAY")
        self._env = {k: v for k, v in os.environ.items() if k not in left_out} | {
            "QT_QPA_PLATFORM": "offscreen",
            "PYTHONPYCACHEPREFIX": str(scratch / "bytecode"),
            "RELEASE_COCKPIT_FIRST_PAINT": str(self._stamp),
            "OPENBLAS_NUM_THREADS": "1",  # for all three alike: numpy's threads cost the chart 45 ms
        }

    def ours(self) -> float:
        """ms until the window shows yesterday's data; raises where it shows anything less."""
        ms, shown = self._started("-m", "ui", "--data-dir", str(self.data))
        wanted = [(name, version) for at, version in believable.LIVE.items() for name in [at.partition("@")[0]]]
        missing = [pair for pair in wanted if not any(pair[0] in line and pair[1] in line for line in shown)]
        if missing or len(shown) != len(wanted):
            raise AssertionError(f"yesterday's {missing or wanted} should have been painted, the window shows {shown}")
        return ms

    def empty(self) -> float:
        """ms until an empty window is painted."""
        return self._started(str(_HERE / "_rival_empty.py"), str(self._stamp))[0]

    def chart(self) -> float:
        """ms until one chart of pyqtgraph is painted, with requests, git and keyring imported."""
        return self._started(str(_HERE / "_rival_chart.py"), str(self._stamp))[0]

    def _started(self, *arguments: str) -> tuple[float, list[str]]:
        self._stamp.unlink(missing_ok=True)
        begun_ns = time.monotonic_ns()
        done = subprocess.run([sys.executable, *arguments], cwd=_ROOT, env=self._env, timeout=LIMIT_S, capture_output=True, check=False)
        if done.returncode or not self._stamp.exists():
            raise AssertionError(f"{arguments[:2]} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-800:]}")
        painted_ns, *shown = self._stamp.read_text("utf-8").splitlines()
        return (int(painted_ns) - begun_ns) / 1e6, shown


def run(pairs: int = PAIRS) -> list[dict[str, object]]:
    """One entry a rival; times in milliseconds, each ratio the median of pairs taken in turn."""
    with tempfile.TemporaryDirectory(prefix="bench-startup-") as scratch:
        bench = _Bench(Path(scratch))
        programs = (bench.ours, bench.empty, bench.chart)
        for program in programs:  # the first start of each compiles, the second reads what was compiled
            program()
        rounds = []
        for turn in range(pairs):
            order = programs[turn % 3 :] + programs[: turn % 3]
            taken = {program: program() for program in order}
            rounds.append(tuple(taken[program] for program in programs))
    return [
        _entry("first paint with yesterday's data, against an empty window", [(r[0], r[1]) for r in rounds], AGAINST_EMPTY),
        _entry(
            "first paint with yesterday's data, against a chart with requests, git, keyring", [(r[0], r[2]) for r in rounds], AGAINST_CHART
        ),
    ]


def _entry(name: str, pairs: list[tuple[float, float]], target: float) -> dict[str, object]:
    ratio = statistics.median(ours / rival for ours, rival in pairs)
    return {
        "name": name,
        "ours": round(statistics.median(ours for ours, _ in pairs), 1),
        "rival": round(statistics.median(rival for _, rival in pairs), 1),
        "unit": "ms",
        "ratio": round(ratio, 3),
        "target": target,
        "holds": ratio <= target,
    }
