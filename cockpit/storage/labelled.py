"""Reads labelled series from outside: fault-free samples and injected faults, as CSV with three header rows and a JSON beside each fault.

FOLDER/noissue/metrics.csv                      rows: node, metric, statistic; then a time in seconds and a value a column
FOLDER/train|test/issue_*/metrics.csv           the same around a fault
FOLDER/train|test/issue_*/target.json           {"target": {"node", "metric", "agg", "timestamp"}}
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
    """All of a folder. CockpitError with the file and what is wrong with it."""
    if not folder.is_dir():
        raise _wrong(f"{folder} is not a folder.")
    issues = sorted((p for part in ("train", "test") for p in folder.glob(f"{part}/issue_*") if p.is_dir()), key=_natural)
    if not issues:
        raise _wrong(f"{folder} holds no faults: neither train/issue_* nor test/issue_* is there.")
    labels = [(path, _label(path / "target.json")) for path in issues]
    wanted = {_key(label) for _, label in labels}
    _, series = _table(folder / "noissue" / "metrics.csv", wanted)
    faults = tuple(_fault(f"{path.parent.name}/{path.name}", path / "metrics.csv", label) for path, label in labels)
    return Labelled({key: tuple(values) for key, values in series.items()}, faults)


def _wrong(message: str, hint: str = LAYOUT) -> CockpitError:
    return CockpitError(message, title="This folder cannot be judged", hint=hint)


def _natural(path: Path) -> tuple[str, list[tuple[int, str]]]:
    return path.parent.name, [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name) if part]


def _key(label: _Target) -> Key:
    return label.node, label.metric, label.agg


def _label(path: Path) -> _Target:
    try:
        label = msgspec.json.decode(path.read_bytes(), type=_Label).target
    except OSError as error:
        raise _wrong(f"{path} cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = 'It should be {"target": {"node": ..., "metric": ..., "agg": ..., "timestamp": seconds}}.'
        raise _wrong(f"{path} is not what it should be: {error}.", hint) from error
    if not math.isfinite(label.timestamp):
        raise _wrong(f"{path} names no time of the fault.")
    return label


def _fault(name: str, path: Path, label: _Target) -> Fault:
    at, series = _table(path, {_key(label)})
    values = series[_key(label)]
    order = sorted(range(len(at)), key=at.__getitem__)
    before = tuple(values[i] for i in order if at[i] < label.timestamp)
    after = tuple(values[i] for i in order if at[i] >= label.timestamp)
    return Fault(name, *_key(label), before, after)


def _table(path: Path, wanted: Collection[Key]) -> tuple[list[float], dict[Key, list[float]]]:
    """Times and the wanted columns of a file, in its order."""
    at: list[float] = []
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _wrong(f"{path} is larger than {MOST_BYTES // 1_000_000} MB.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            columns = _columns(path, [row for _, row in zip(range(_HEADERS), rows, strict=False)], wanted)
            series: dict[Key, list[float]] = {key: [] for key in columns}
            for row in rows:
                if not any(row) or (not at and row[0] and not _is_number(row[0])):
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
    return at, series


def _columns(path: Path, headers: list[list[str]], wanted: Collection[Key]) -> dict[Key, int]:
    if len(headers) < _HEADERS or len({len(row) for row in headers}) != 1:
        raise _wrong(f"{path} does not begin with three header rows of equal length.")
    found = {(node, metric, statistic): i for i, (node, metric, statistic) in enumerate(zip(*headers, strict=True)) if i}
    missing = sorted(set(wanted) - set(found))
    if missing:
        hint = "The target of a fault names a column by node, metric and agg (the statistic)."
        raise _wrong(f"{path} has no column {' / '.join(missing[0])}, which a target.json names.", hint)
    return {key: found[key] for key in wanted}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(path: Path, line: int, row: list[str], column: int) -> float:
    """A value, NaN where the cell is empty. A time must be there."""
    text = row[column].strip() if column < len(row) else None
    if text == "" and column:
        return math.nan
    if text is None or not _is_number(text) or (not column and not math.isfinite(float(text))):
        shown = "nothing" if not text else f"“{text[:40]}”"
        raise _wrong(f"{path}, line {line}, column {column + 1}: {shown} stands where a number should.")
    value = float(text)
    return value if math.isfinite(value) else math.nan
