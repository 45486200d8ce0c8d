"""Reads labelled series from outside: fault-free samples and injected faults, as CSV with three header rows and a JSON beside each fault.

FOLDER/noissue/metrics.csv                      rows: node, metric, statistic; then a time in seconds and a value a column
FOLDER/train|test/issue_*/metrics.csv           the same around a fault
FOLDER/train|test/issue_*/target.json           {"target": {"node", "metric", "agg", "timestamp"}}

Rows may come in any order. A fault that cannot be read keeps none of the others from being judged: it says why.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Collection
from pathlib import Path

import msgspec
from msgspec import Struct

from cockpit.domain.errors import CockpitError
from cockpit.domain.faults import Fault

Key = tuple[str, str, str]
MOST_BYTES = 500_000_000
LAYOUT = "It holds noissue/metrics.csv (three header rows: node, metric, statistic) and test/issue_*/ with metrics.csv and target.json."
_HEADERS = 3
_BOM = b"\xef\xbb\xbf"
_MISSING = ("", "na", "n/a", "<na>", "nan", "null", "none", "-")


class _Target(Struct, frozen=True):
    node: str
    metric: str
    agg: str
    timestamp: float


class _Label(Struct, frozen=True):
    target: _Target


class Labelled(Struct, frozen=True):
    """What a folder holds: the fault-free series that a fault names, and the faults in order."""

    fault_free: dict[Key, tuple[float, ...]]
    faults: tuple[Fault, ...]


def read_labelled(folder: Path) -> Labelled:
    """All of a folder. CockpitError with what is wrong: with the fault-free series, or with the first fault where none is sound."""
    if not folder.is_dir():
        raise _wrong(f"{folder} is not a folder.")
    issues = sorted((p for part in ("train", "test") for p in folder.glob(f"{part}/issue_*") if p.is_dir()), key=_natural)
    if not issues:
        raise _wrong(f"{folder} holds no faults: neither train/issue_* nor test/issue_* is there.")
    labels = [_label(path / "target.json") for path in issues]
    wanted = {_key(label) for label in labels if isinstance(label, _Target)}
    fault_free = _table(folder / "noissue" / "metrics.csv", wanted)[1] if wanted else {}
    faults = tuple(_fault(path, label, fault_free) for path, label in zip(issues, labels, strict=True))
    if all(fault.why for fault in faults):
        raise _wrong(faults[0].why)
    return Labelled({key: tuple(values) for key, values in fault_free.items()}, faults)


def _wrong(message: str, hint: str = LAYOUT) -> CockpitError:
    return CockpitError(message, title="This folder cannot be judged", hint=hint)


def _natural(path: Path) -> tuple[str, list[tuple[int, str]]]:
    return path.parent.name, [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name) if part]


def _key(label: _Target) -> Key:
    return label.node, label.metric, label.agg


def _label(path: Path) -> _Target | str:
    """What a fault is to be seen in, or why that cannot be read."""
    try:
        label = msgspec.json.decode(path.read_bytes().removeprefix(_BOM), type=_Label).target
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}."
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        wanted = '{"target": {"node": ..., "metric": ..., "agg": ..., "timestamp": seconds}}'
        return f"{path} is not what it should be: {error}. It should be {wanted}."
    return label if math.isfinite(label.timestamp) else f"{path} names no time of the fault."


def _fault(path: Path, label: _Target | str, fault_free: Collection[Key]) -> Fault:
    name, file = f"{path.parent.name}/{path.name}", path / "metrics.csv"
    if not isinstance(label, _Target):
        return Fault(name, "", "", "", (), (), label)
    key = _key(label)
    try:
        at, series = _table(file, {key})
    except CockpitError as error:
        return Fault(name, *key, (), (), error.message)
    for where, known in ((str(file), series), ("the fault-free series", fault_free)):
        if key not in known:
            return Fault(name, *key, (), (), f"{where} has no column {' / '.join(key)}, which target.json names.")
    before = tuple(v for t, v in zip(at, series[key], strict=True) if t < label.timestamp)
    return Fault(name, *key, before, tuple(series[key][len(before) :]))


def _table(path: Path, wanted: Collection[Key]) -> tuple[list[float], dict[Key, list[float]]]:
    """Times and those of the wanted columns that are there, in the order of time."""
    at: list[float] = []
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _wrong(f"{path} is larger than {MOST_BYTES // 1_000_000} MB.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            columns = _columns(path, [row for _, row in zip(range(_HEADERS), rows, strict=False)], wanted)
            series: dict[Key, list[float]] = {key: [] for key in columns}
            for row in rows:
                if not any(row) or (rows.line_num == _HEADERS + 1 and row[0] and not _is_number(row[0]) and not any(row[1:])):
                    continue  # an empty row, or the row that names the column of times
                at.append(_number(path, rows.line_num, row, 0))
                for key, column in columns.items():
                    series[key].append(_number(path, rows.line_num, row, column))
    except OSError as error:
        raise _wrong(f"{path} cannot be read: {error.strerror}.") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise _wrong(f"{path} is not a CSV file in UTF-8: {error}.") from error
    if not at:
        raise _wrong(f"{path} holds no samples.")
    order = sorted(range(len(at)), key=at.__getitem__)
    return [at[i] for i in order], {key: [values[i] for i in order] for key, values in series.items()}


def _columns(path: Path, headers: list[list[str]], wanted: Collection[Key]) -> dict[Key, int]:
    """Where the wanted columns are; those that are not there are left out."""
    if len(headers) < _HEADERS or len({len(row) for row in headers}) != 1:
        raise _wrong(f"{path} does not begin with three header rows of equal length.")
    found = {(node, metric, statistic): i for i, (node, metric, statistic) in enumerate(zip(*headers, strict=True)) if i}
    return {key: found[key] for key in wanted if key in found}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(path: Path, line: int, row: list[str], column: int) -> float:
    """A value, NaN where the cell is empty. A time must be there."""
    text = row[column].strip() if column < len(row) else None
    if column and text is not None and text.lower() in _MISSING:
        return math.nan
    if text is None or not _is_number(text) or (not column and not math.isfinite(float(text))):
        shown = "nothing" if not text else f"“{text[:40]}”"
        raise _wrong(f"{path}, line {line}, column {column + 1}: {shown} stands where a number should.")
    value = float(text)
    return value if math.isfinite(value) else math.nan
