"""Regressions and benchmarks from the terminal: refusals first, then files brought in, found, acknowledged and ended."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from cockpit import cli
from cockpit.domain.checks import CheckRun, CheckState, Suite
from cockpit.paths import find_paths
from cockpit.services.runtime import now_us
from cockpit.storage.database import open_database
from cockpit.storage.journal import Journal
from tests.fakes.ports import FakeCi
from tests.fakes.world import SERVICE, World, write_settings

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    made = World()
    monkeypatch.setattr("cockpit.connecting.make_connections", made.connect)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    write_settings(tmp_path)
    return made


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        result = cli.main(["--data-dir", str(tmp_path), *words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return result, out, err

    return call


def slower(world: World) -> None:
    """Twenty-one runs; from the third third on, version 1.2.0, suite unit takes a third longer."""
    rng, runs = random.Random(2), []
    for number in range(21):
        version = ("1.0.0", "1.1.0", "1.2.0")[number // 7]
        at = now_us() - (30 - number) * 3_600_000_000
        took = round(12e6 * rng.gauss(1.0, 0.01) * (1.33 if version == "1.2.0" else 1.0))
        suite = Suite("unit", CheckState.PASSED, 2, 2, 0, 0, 0, at, at + took)
        commit = world.history[version][0].id
        runs.append(CheckRun(f"n{number}", SERVICE, version, commit, CheckState.PASSED, (suite,), at, at + took))
    world.ci = FakeCi(now_us, tuple(runs))


def test_nothing_measured_says_what_fills_it(world: World, run: Run) -> None:
    world.ci = FakeCi(now_us, ())
    result, out, _ = run("regressions", SERVICE)
    assert (result, "benchmarks add" in out) == (0, True)


def bring(run: Run, folder: Path, values: list[float]) -> None:
    """A benchmark result a file, oldest first; its last line makes each file another one."""
    for number, value in enumerate(values):
        path = folder / f"results{number}.csv"
        path.write_text(f"name,value,unit\nboot,{value},ms\nfile {number},1,\n", "utf-8")
        assert run("benchmarks", "add", SERVICE, "1.0.0", str(path))[0] == 0


def test_few_results_say_that_nobody_can_tell_yet(world: World, run: Run, tmp_path: Path) -> None:
    world.ci = FakeCi(now_us, ())
    bring(run, tmp_path, [300.0, 301.0])
    result, out, _ = run("regressions", SERVICE)
    assert (result, "too few runs to say what became worse, 2 of 10" in out) == (0, True), out


def test_what_is_noise_does_not_grow(world: World, run: Run, tmp_path: Path) -> None:
    world.ci = FakeCi(now_us, ())
    bring(run, tmp_path, [300.0 * (1.0 if i < 5 else 1.03) for i in range(10)])
    document = json.loads(run("regressions", SERVICE, "--json")[1])
    assert (document["measures"], document["longest"]) == (11, 10)
    assert "benchmark:boot" not in [g["measure"] for g in document["growers"]]
    assert "nothing became worse in 10 runs" in run("regressions", SERVICE)[1]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("acknowledge",), "needs a MEASURE"),
        (("acknowledge", "suite:unit"), "--reason and --days"),
        (("acknowledge", "suite:unit", "--reason", " ", "--days", "3"), "--reason and --days"),
        (("acknowledge", "suite:unit", "--reason", "x", "--days", "91"), "from 1 to 90"),
        (("forget", "suite:unit"), "forget"),
        (("acknowledge", "suite:units", "--reason", "x", "--days", "3"), "did not become worse"),
        (("end", "suite:unit"), "is not acknowledged"),
    ],
)
def test_refusals(world: World, run: Run, words: tuple[str, ...], part: str) -> None:
    slower(world)
    result, _, err = run("regressions", SERVICE, *words)
    assert result == 2
    assert part in err


def test_a_regression_is_shown_acknowledged_and_ended(world: World, run: Run, tmp_path: Path) -> None:
    slower(world)
    result, out, _ = run("regressions", SERVICE)
    assert result == 0
    assert "■ worse" in out
    assert "suite:unit" in out
    found = json.loads(run("regressions", SERVICE, "--json")[1])
    assert [(r["measure"], r["since"], r["state"]) for r in found["regressions"]] == [
        ("run:whole run", "1.2.0", "worse"),
        ("suite:unit", "1.2.0", "worse"),
    ]
    assert found["regressions"][1]["commit"] == world.history["1.2.0"][0].id
    assert found["regressions"][1]["change"] == pytest.approx(0.33, abs=0.02)
    assert (found["runs"], found["flaky"]) == (21, [])
    result, out, err = run("regressions", SERVICE, "acknowledge", "suite:unit", "--days", "14", "--reason", "CHG-17")
    assert (result, "known until" in out) == (0, True), err
    again = json.loads(run("regressions", SERVICE, "--json")[1])["regressions"]
    states = {r["measure"]: (r["state"], r["reason"], r["known_by"]) for r in again}
    assert states == {"run:whole run": ("worse", None, None), "suite:unit": ("known", "CHG-17", "rae@playground.invalid")}
    assert "⏸ known" in run("regressions", SERVICE)[1], "it stays visible"
    assert run("regressions", SERVICE, "end", "suite:unit")[0] == 0
    assert "⏸" not in run("regressions", SERVICE)[1]
    database = open_database(find_paths(tmp_path).database)
    notes = [e.action for e in Journal(database, "test", now_us).decisions(0)]
    database.close()
    assert notes == ["acknowledge", "end"]


def test_benchmarks_are_brought_in_once(world: World, run: Run, tmp_path: Path) -> None:
    world.ci = FakeCi(now_us, ())
    for number in range(3):
        (tmp_path / f"{number}.csv").write_text(f"name,value,unit\nmatch,{4 + number / 10},ms\n")
        result, out, err = run("benchmarks", "add", SERVICE, f"1.{number}.0", str(tmp_path / f"{number}.csv"))
        assert (result, "1 result" in out) == (0, True), err
    assert "nothing is added" in run("benchmarks", "add", SERVICE, "1.2.0", str(tmp_path / "2.csv"))[1]
    (tmp_path / "all.csv").write_text("name,value,unit,version\n" + "".join(f"fill,{i},ms,1.{i % 3}.0\n" for i in range(6)))
    added = json.loads(run("benchmarks", "add", SERVICE, "1.2.0", str(tmp_path / "all.csv"), "--json")[1])["added"]
    assert (added["versions"], added["new"]) == (["1.0.0", "1.1.0", "1.2.0"], 3)


def test_files_that_are_none_are_refused(world: World, run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}")
    (tmp_path / "alien.csv").write_text("name,value,unit,version\nmatch,1,ms,9.9.9\n")
    for file, part in (("missing.json", "cannot be read"), ("bad.json", "no `benchmarks`"), ("alien.csv", "no version “9.9.9”")):
        result, _, err = run("benchmarks", "add", SERVICE, "1.2.0", str(tmp_path / file))
        assert result != 0
        assert part in err


def test_a_window_keeps_runs_by_itself(world: World, tmp_path: Path) -> None:
    from cockpit import app
    from cockpit.services.runtime import LoopMainThread

    slower(world)
    loop = LoopMainThread()
    cockpit = app.build(find_paths(tmp_path), loop)
    try:
        cockpit.start()
        told = lambda: [n for n in cockpit.notices.history if n.key == f"regression:{SERVICE}"]  # noqa: E731
        assert loop.run_until(lambda: bool(told()), 20)
        assert "2 measures became worse" in told()[0].title
        assert replace(told()[0], count=1).place == "checks"
    finally:
        cockpit.close()
