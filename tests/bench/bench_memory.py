"""Memory of the window while a day of 200 series at ten points a second goes through it, 172.8 million, and what the disk takes of them.

Each point has seven values (four quantiles, rate, errors, count), so this is seven times as much as the rival holds: pyqtgraph with one
value a point, which is measured on a tenth of the day and multiplied by ten. Target is the limit of 400 MB at the peak, Qt and all
libraries with it. A spike of one sample, put there after a sixth of the day, has to be painted in the view of the whole day and in the one
of the second that it happened in, which comes from the disk; otherwise the bench breaks. BENCH_MEMORY_HOURS makes the day shorter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HOURS = 24.0
RATE, SERIES = 10, 200
LIMIT_MB = 400.0
SHARE = 10  # the rival holds a part of the day
ROW_BYTES = 64  # a time and seven values as they are
DISK_SHARE = 0.25
LIMIT_S = 1_500.0
_HERE = Path(__file__).parent
_SERVICE = '[services.service-{n:02}]\nrepository = "repo"\n'
_REST = "[environments.production]\nrank = 1\nproduction = true\n"


def _measured(scratch: Path, program: str, *arguments: str) -> dict[str, Any]:
    out = scratch / f"{program}.json"
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "OPENBLAS_NUM_THREADS": "1"}
    where = [str(scratch / "data")] if program == "_memory_ours.py" else []
    command = [sys.executable, str(_HERE / program), *where, str(out), *arguments]
    done = subprocess.run(command, env=environment, timeout=LIMIT_S, capture_output=True, check=False)
    if done.returncode or not out.is_file():
        raise AssertionError(f"{program} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-1500:]}")
    found: dict[str, Any] = json.loads(out.read_text("ascii"))
    return found


def _configure(data: Path) -> None:
    data.mkdir()
    services = "".join(_SERVICE.format(n=n) for n in range(10))
    (data / "cockpit.toml").write_text(services + _REST, encoding="ascii")
    (data / "window.ini").write_text("[General]\nselection=service-00/production\nview=latency\n", encoding="ascii")


def checked(ours: dict[str, Any], hours: float) -> None:
    """All points went through, and the spike was seen in both windows."""
    points = round(hours * 3600 * RATE) * SERIES
    assert ours["points"] == points, f"{ours['points']} of {points} points went through"
    for name in ("whole", "second"):
        assert ours[name]["highest_ms"] > 899, f"{name}: the chart does not hold the spike: {ours[name]}"
        assert ours[name]["painted"], f"{name}: the spike was not painted: {ours[name]}"
    assert ours["second"]["points"] in (9, 10, 11), ours["second"]


def run(hours: float | None = None) -> list[dict[str, object]]:
    """The memory's entry and the disk's."""
    hours = float(os.environ.get("BENCH_MEMORY_HOURS", HOURS)) if hours is None else hours
    samples = round(hours * 3600 * RATE)
    with tempfile.TemporaryDirectory(prefix="bench-memory-") as scratch:
        folder = Path(scratch)
        _configure(folder / "data")
        ours = _measured(folder, "_memory_ours.py", str(hours))
        rival = _measured(folder, "_memory_rival.py", str(samples // SHARE))
    checked(ours, hours)
    what = f"{SERIES} series x {RATE} Hz x {hours:g} h"
    rival_mb = rival["curves_mb"] * SHARE
    memory = _entry(
        f"memory at the peak, {what} (limit: {LIMIT_MB:g} MB)", ours["peak_mb"], rival_mb, LIMIT_MB, ours["peak_mb"] <= LIMIT_MB
    )
    memory |= {"empty": round(ours["empty_mb"], 1), "after": round(ours["rss_mb"], 1), "zoom_ms": round(ours["zoom_ms"], 1)}
    memory |= {"fed_s": round(ours["seconds"], 1), "cpu_s": round(ours["cpu_s"], 1)}
    disk_mb, plain_mb = ours["disk_bytes"] / 1e6, samples * SERIES * ROW_BYTES / 1e6
    ratio = disk_mb / plain_mb
    return [memory, _entry(f"disk, {what}, against the bare numbers", disk_mb, plain_mb, DISK_SHARE, ratio <= DISK_SHARE)]


def _entry(name: str, ours: float, rival: float, target: float, holds: bool) -> dict[str, object]:
    values = {"name": name, "ours": round(ours, 1), "rival": round(rival, 1), "unit": "MB", "ratio": round(ours / max(0.1, rival), 4)}
    return {**values, "target": target, "holds": holds}
