"""Labelled series from outside: every malformed folder gets words with the file in them; then what a good one holds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from cockpit.domain.errors import CockpitError
from cockpit.storage.labelled import read_labelled

HEAD = "microservice,a,b\nmetric,latency,latency\nstatistic,Average,p99\n"
LABEL = {"target": {"node": "b", "metric": "latency", "agg": "p99", "timestamp": 1300}, "root_cause": {"node": "x"}}


def write(path: Path, text: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = "".join(f"{1000 + 60 * i},1,{i}\n" for i in range(100))
    write(tmp_path / "noissue/metrics.csv", f"{HEAD}unix_timestamp,,\n{rows}")
    for name in ("test/issue_10", "test/issue_2", "train/issue_0"):
        write(tmp_path / name / "metrics.csv", f"{HEAD}1240,1,5\n1180,1,4\n1300.0,1,\n1360,1,7\n\n")
        write(tmp_path / name / "target.json", json.dumps(LABEL))
    return tmp_path


def without_labels(folder: Path) -> None:
    for path in folder.rglob("*.json"):
        path.unlink()


def without_faults(folder: Path) -> None:
    for path in list(folder.glob("t*/issue_*")):
        path.rename(path.parent / f"x{path.name}")


def with_a_folder_for_a_file(folder: Path) -> None:
    (folder / "test/issue_2/metrics.csv").unlink()
    (folder / "test/issue_2/metrics.csv").mkdir()


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "no labels": (without_labels, "target.json cannot be read"),
    "no faults": (without_faults, "holds no faults"),
    "no fault-free series": (lambda p: (p / "noissue/metrics.csv").unlink(), "noissue/metrics.csv cannot be read"),
    "empty": (lambda p: write(p / "noissue/metrics.csv", ""), "three header rows"),
    "headers alone": (lambda p: write(p / "noissue/metrics.csv", HEAD), "holds no samples"),
    "ragged headers": (lambda p: write(p / "noissue/metrics.csv", "a,b\nc\nd,e,f\n1,2\n"), "three header rows of equal length"),
    "times that are none": (lambda p: write(p / "noissue/metrics.csv", HEAD + "2026-11-23T09:00:00,1,2\n"), "line 4, column 1: “2026"),
}

FAULT = "test/issue_2"
BAD_FAULT: dict[str, tuple[Callable[[Path], None], str]] = {
    "no label": (lambda p: (p / FAULT / "target.json").unlink(), "target.json cannot be read"),
    "a folder for a file": (with_a_folder_for_a_file, "cannot be read"),
    "not text": (lambda p: write(p / FAULT / "metrics.csv", b"\xff\xfe\x00" * 50), "not a CSV file"),
    "a quote that never ends": (lambda p: write(p / FAULT / "metrics.csv", HEAD + '"' + "x" * 200_000), "not a CSV file"),
    "words for numbers": (lambda p: write(p / FAULT / "metrics.csv", HEAD + "1240,1,fast\n"), "line 4, column 3: “fast”"),
    "words for a time": (lambda p: write(p / FAULT / "metrics.csv", HEAD + "1240,1,1\nnoon,1,1\n"), "line 5, column 1: “noon”"),
    "a time that is none": (lambda p: write(p / FAULT / "metrics.csv", HEAD + "nan,1,1\n"), "column 1"),
    "a row that ends early": (lambda p: write(p / FAULT / "metrics.csv", HEAD + "1240,1\n"), "nothing stands"),
    "not JSON": (lambda p: write(p / FAULT / "target.json", "{"), "target.json is not what it should be"),
    "JSON without an end": (lambda p: write(p / FAULT / "target.json", "[" * 100_000), "target.json is not what it should be"),
    "other JSON": (lambda p: write(p / FAULT / "target.json", '{"target": {"node": 1}}'), "target.json is not what it should be"),
    "another column": (lambda p: write(p / FAULT / "target.json", json.dumps(LABEL).replace('"b"', '"z"')), "no column z / latency / p99"),
    "a column of its own": (
        lambda p: (
            write(p / FAULT / "target.json", json.dumps(LABEL).replace('"b"', '"z"')),
            write(p / FAULT / "metrics.csv", HEAD.replace(",b", ",z") + "1240,1,5\n"),
        )[0],
        "the fault-free series has no column z / latency / p99",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_malformed_folders(folder: Path, name: str) -> None:
    spoil, words = BAD[name]
    spoil(folder)
    with pytest.raises(CockpitError) as raised:
        read_labelled(folder)
    assert words in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize("name", BAD_FAULT)
def test_a_malformed_fault_keeps_none_of_the_others_from_being_read(folder: Path, name: str) -> None:
    spoil, words = BAD_FAULT[name]
    spoil(folder)
    found = {fault.name: fault for fault in read_labelled(folder).faults}
    assert words in found[FAULT].why
    assert found[FAULT].after == ()
    assert [(f.why, len(f.after)) for f in found.values() if f.name != FAULT] == [("", 2), ("", 2)]


def test_what_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CockpitError, match="is not a folder"):
        read_labelled(tmp_path / "nowhere")


def test_a_good_folder(folder: Path) -> None:
    found = read_labelled(folder)
    assert list(found.fault_free) == [("b", "latency", "p99")]
    assert found.fault_free["b", "latency", "p99"] == tuple(float(i) for i in range(100))
    assert [f.name for f in found.faults] == ["test/issue_2", "test/issue_10", "train/issue_0"]
    fault = found.faults[0]
    assert fault.before == (4.0, 5.0)
    assert math.isnan(fault.after[0])
    assert fault.after[1:] == (7.0,)


def test_rows_of_the_fault_free_series_come_in_any_order(folder: Path) -> None:
    path = folder / "noissue/metrics.csv"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join([*lines[:4], *reversed(lines[4:])]), "utf-8")
    assert read_labelled(folder).fault_free["b", "latency", "p99"] == tuple(float(i) for i in range(100))


@pytest.mark.parametrize("word", ["NaN", "null", "N/A", "None", "-", "inf"])
def test_words_for_no_sample(folder: Path, word: str) -> None:
    write(folder / "test/issue_2/metrics.csv", f"{HEAD}1240,1,5\n1300,1,{word}\n1360,1,7\n")
    fault = read_labelled(folder).faults[0]
    assert math.isnan(fault.after[0])
    assert fault.after[1:] == (7.0,)


def test_files_with_a_mark_of_byte_order_and_other_ends_of_lines(folder: Path) -> None:
    plain = read_labelled(folder)
    for path in (*folder.rglob("*.csv"), *folder.rglob("*.json")):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert str(read_labelled(folder)) == str(plain)
