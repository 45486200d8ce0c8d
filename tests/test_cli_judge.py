"""`release-cockpit judge FOLDER`: words for what is malformed, then shares beside the rivals, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from cockpit import cli

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        result = cli.main(["--data-dir", str(tmp_path / "data"), "judge", *words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return result, out, err

    return call


def labelled(folder: Path, samples: int = 300) -> Path:
    """Two metrics of a node, faults that a person sees at once and one that nobody can see."""
    random = Random(1)
    head = "node,shop,shop\nmetric,latency,availability\nstatistic,p50,Average\n"
    rows = [f"{60 * i},{random.gauss(100, 5):.3f},{min(100, random.gauss(99, 0.3)):.3f}" for i in range(samples)]
    (folder / "noissue").mkdir(parents=True)
    (folder / "noissue/metrics.csv").write_text(head + "\n".join(rows) + "\n", "utf-8")
    cases = (("latency", "p50", (200, 99)), ("availability", "Average", (100, 80)), ("latency", "p50", (100, 99)))
    for number, (metric, statistic, after) in enumerate(cases):
        path = folder / f"test/issue_{number}"
        path.mkdir(parents=True)
        values = ["0,100,99", "60,101,99.2", *(f"{120 + 60 * i},{after[0]},{after[1]}" for i in range(3))]
        (path / "metrics.csv").write_text(head + "\n".join(values) + "\n", "utf-8")
        target = {"node": "shop", "metric": metric, "agg": statistic, "timestamp": 110}
        (path / "target.json").write_text(json.dumps({"target": target}), "utf-8")
    return folder


def test_a_malformed_folder_gets_words(run: Run, tmp_path: Path) -> None:
    assert run(str(tmp_path / "nowhere"))[0] == 1
    result, out, _ = run(str(tmp_path), "--json")
    error = json.loads(out)["error"]
    assert result == 1
    assert "holds no faults" in error["message"]
    assert error["hint"]


def test_too_short_a_series(run: Run, tmp_path: Path) -> None:
    result, _, err = run(str(labelled(tmp_path / "set", samples=20)))
    assert result == 1
    assert "fewer than 40 fault-free windows" in err


@pytest.mark.parametrize("words", [(), ("--false-alarms", "0"), ("--false-alarms", "many"), ("a", "b")])
def test_bad_usage(run: Run, words: tuple[str, ...]) -> None:
    assert run(*(words if words != ("--false-alarms", "0") else (".", *words)))[0] == 2


def test_shares_beside_the_rivals(run: Run, tmp_path: Path) -> None:
    result, out, _ = run(str(labelled(tmp_path / "set")), "--json", "--false-alarms", "0.02")
    answer = json.loads(out)["judge"]
    assert result == 0
    assert (answer["faults"], answer["false_alarms_asked"]) == (3, 0.02)
    assert [r["rule"] for r in answer["rules"]] == ["judge", "mann_whitney", "percentile"]
    assert (answer["rules"][0]["found"], answer["rules"][0]["of"]) == (2, 3)
    assert all(r["false_alarms"] <= 0.04 for r in answer["rules"])
    assert list(answer["by_metric"]) == ["availability", "latency"]
    assert [f["state"] for f in answer["found"]] == ["found", "found", "not found"]


def test_the_same_as_text(run: Run, tmp_path: Path) -> None:
    result, out, _ = run(str(labelled(tmp_path / "set")))
    assert result == 0
    assert "3 faults" in out
    for word in ("judge", "Mann-Whitney", "99th percentile", "latency alone", "● found", "▲ not found"):
        assert word in out


def test_a_fault_without_samples_after_it_says_why(run: Run, tmp_path: Path) -> None:
    folder = labelled(tmp_path / "set")
    path = folder / "test/issue_1/target.json"
    path.write_text(path.read_text("utf-8").replace("110", "9000"), "utf-8")
    _, out, _ = run(str(folder), "--json")
    answer = json.loads(out)["judge"]
    assert [(f["state"], f["why"]) for f in answer["found"]][1] == ("no data", "no sample after the fault")
    assert list(answer["by_metric"]) == ["latency"]
    assert "no data: no sample after the fault" in run(str(folder))[1]


def test_a_fault_that_cannot_be_read_is_said_and_the_others_are_judged(run: Run, tmp_path: Path) -> None:
    folder = labelled(tmp_path / "set")
    (folder / "test/issue_1/target.json").write_text("{", "utf-8")
    result, out, _ = run(str(folder))
    assert result == 0
    assert "1 of 3" in out
    assert "no data: " in out
    assert "issue_1/target.json is not what it should be" in out
    found = json.loads(run(str(folder), "--json")[1])["judge"]["found"]
    assert [(f["state"], bool(f["why"])) for f in found] == [("found", False), ("no data", True), ("not found", False)]


def test_times_of_another_unit_are_said(run: Run, tmp_path: Path) -> None:
    folder = labelled(tmp_path / "set")
    assert "without a sample before" not in run(str(folder))[1]
    path = folder / "test/issue_0/target.json"
    path.write_text(path.read_text("utf-8").replace("110", "-110000"), "utf-8")
    assert "1 fault without a sample before" in run(str(folder))[1]
