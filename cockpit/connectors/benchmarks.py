"""Benchmark results as tools write them: JUnit, pytest-benchmark, k6, Locust, plain CSV. Pure: bytes in, measurements out.

Forms: pytest-benchmark's --benchmark-json; k6's --summary-export and the `data` of its handleSummary; Locust's *_stats.csv. All of it
is untrusted: whatever else comes is BadPayload.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from cockpit.connectors.junit import parse_junit
from cockpit.connectors.text import one_line
from cockpit.domain.errors import BadPayload
from cockpit.domain.measures import Measured

MAX_BYTES: Final = 32 * 1024 * 1024
MAX_MEASURED: Final = 20_000
MAX_VALUE: Final = 1e15
_NAME: Final = 500
_UNIT: Final = 20
_HINT: Final = (
    "Known are JUnit XML, pytest-benchmark JSON, k6 summary JSON, Locust stats CSV, and CSV with the columns name,value[,unit,version]."
)
_K6_STATS: Final = ("avg", "med", "p(90)", "p(95)", "p(99)", "p(99.9)")
_LOCUST: Final = {
    "median response time": ("median", "ms", "lower"),
    "average response time": ("average", "ms", "lower"),
    "50%": ("p50", "ms", "lower"),
    "95%": ("p95", "ms", "lower"),
    "99%": ("p99", "ms", "lower"),
    "99.9%": ("p99.9", "ms", "lower"),
    "requests/s": ("requests", "/s", "higher"),
    "failures/s": ("failures", "/s", "lower"),
}


def parse_any(body: bytes) -> tuple[Measured, ...]:
    """Measurements of a file whose form tells itself."""
    start = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start == b"<":
        return parse_durations(body)
    if start in (b"{", b"["):
        found = _json(body)
        return _k6(found) if "metrics" in found else _pytest_benchmark(found)
    rows = _rows(body)
    return _locust(rows) if rows and "request count" in rows[0] else _plain(rows)


def parse_durations(body: bytes) -> tuple[Measured, ...]:
    """How long each passed test of a JUnit report took, in seconds; a test that failed may have ended early."""
    tests = (t for t in parse_junit(body) if t.outcome == "passed" and t.duration_s > 0)
    return _sound(Measured(t.name, t.duration_s, "s") for t in tests)


def parse_pytest_benchmark(body: bytes) -> tuple[Measured, ...]:
    """The median of each benchmark, in seconds: the mean of few rounds follows their outliers."""
    return _pytest_benchmark(_json(body))


def parse_k6(body: bytes) -> tuple[Measured, ...]:
    """Quantiles of each trend, the rate of each counter, the share of each rate. `http_req_failed` and its like: lower is better."""
    return _k6(_json(body))


def parse_locust(body: bytes) -> tuple[Measured, ...]:
    """Response times and rates of each request and of all together ("Aggregated")."""
    return _locust(_rows(body))


def parse_csv(body: bytes) -> tuple[Measured, ...]:
    """name,value[,unit,version], with or without these words as its first line. A unit of rates ("/s", "ops") says that more is better."""
    return _plain(_rows(body))


# -- JSON --------------------------------------------------------------------------------------------------------------------


def _json(body: bytes) -> dict[str, Any]:
    _check(body)
    try:
        found = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError) as error:
        raise BadPayload(f"The results are not JSON: {one_line(str(error), 200)}.", hint=_HINT) from None
    if not isinstance(found, dict):
        raise BadPayload("The results are JSON, but no object.", hint=_HINT)
    return found


def _pytest_benchmark(found: dict[str, Any]) -> tuple[Measured, ...]:
    benchmarks = found.get("benchmarks")
    if not isinstance(benchmarks, list):
        raise BadPayload("The results hold no `benchmarks` and no `metrics`.", hint=_HINT)

    def each() -> Iterator[Measured]:
        for one in benchmarks:
            stats = one.get("stats") if isinstance(one, dict) else None
            value = _number(stats.get("median", stats.get("mean"))) if isinstance(stats, dict) else None
            if value is None:
                raise BadPayload("A benchmark has no `stats.median`.", hint=_HINT)
            yield Measured(_text(one.get("fullname")) or _text(one.get("name")), value, "s")

    return _sound(each())


def _k6(found: dict[str, Any]) -> tuple[Measured, ...]:
    metrics = found.get("metrics")
    if not isinstance(metrics, dict):
        raise BadPayload("The results hold no `metrics`.", hint=_HINT)

    def each() -> Iterator[Measured]:
        for name, metric in metrics.items():
            if not isinstance(metric, dict):
                raise BadPayload(f"The metric {one_line(name, 100)} is no object.", hint=_HINT)
            inner = metric.get("values")
            yield from _k6_metric(name, metric, inner if isinstance(inner, dict) else metric)

    return _sound(each())


def _k6_metric(name: str, metric: dict[str, Any], values: dict[str, Any]) -> Iterator[Measured]:
    quantiles = [(stat, value) for stat in _K6_STATS if (value := _number(values.get(stat))) is not None]
    if quantiles:
        unit = "" if metric.get("contains") == "default" else "B" if metric.get("contains") == "data" else "ms"
        for stat, value in quantiles:
            yield Measured(f"{name} {stat}", value, unit)
        return
    rate = _number(values.get("rate"))
    if rate is not None and ("count" in values or metric.get("type") == "counter"):
        yield Measured(f"{name} rate", rate, "/s", "higher")
        return
    # the share of a rate is `rate` in one form and `value` in the other
    share = rate if rate is not None else _number(values.get("value"))
    if share is not None and ("passes" in values or metric.get("type") == "rate"):
        yield Measured(f"{name} share", share, "", "lower" if "fail" in name.lower() or "error" in name.lower() else "higher")


# -- CSV ---------------------------------------------------------------------------------------------------------------------


def _rows(body: bytes) -> list[dict[str, str]]:
    """Each row by the words of its header, in lower case; a plain file without a header has name, value, unit, version."""
    _check(body)
    try:
        text = body.decode("utf-8-sig")
        table = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadPayload(f"The results are not CSV: {one_line(str(error), 200)}.", hint=_HINT) from None
    table = [row for row in table if any(cell.strip() for cell in row)]
    if any(len(row) > 100 for row in table[:2]):
        raise BadPayload("A row has more than 100 columns.", hint=_HINT)
    head = [cell.strip().lower() for cell in table[0]] if table else []
    if not {"name", "value"} <= set(head) and not {"name", "request count"} <= set(head):
        head, table = ["name", "value", "unit", "version"], [[], *table]
    return [dict(zip(head, row, strict=False)) for row in table[1 : MAX_MEASURED + 2]]


def _locust(rows: list[dict[str, str]]) -> tuple[Measured, ...]:
    if not rows or "request count" not in rows[0]:
        raise BadPayload("The results are no statistics of Locust.", hint=_HINT)

    def each() -> Iterator[Measured]:
        for row in rows:
            request = " ".join(part for part in (row.get("type", "").strip(), row.get("name", "").strip()) if part) or "all"
            for column, (what, unit, better) in _LOCUST.items():
                cell = row.get(column, "").strip()
                value = _cell(cell)
                if value is None and cell not in ("", "N/A"):
                    raise BadPayload(f"{one_line(cell, 50)!r} below {column} is no number.", hint=_HINT)
                if value is not None:
                    yield Measured(f"{request} {what}", value, unit, better)

    return _sound(each())


def _plain(rows: list[dict[str, str]]) -> tuple[Measured, ...]:
    def each() -> Iterator[Measured]:
        for number, row in enumerate(rows, 1):
            value = _cell(row.get("value", "").strip())
            if value is None:
                raise BadPayload(f"Row {number} has no number as its value.", hint=_HINT)
            unit = one_line(row.get("unit", "").strip(), _UNIT)
            better = "higher" if unit.lower().endswith(("/s", "ops", "rps", "tps", "per second")) else "lower"
            told = row.get("better", "").strip().lower()
            better = told if told in ("lower", "higher") else better
            yield Measured(row.get("name", "").strip(), value, unit, better, one_line(row.get("version", "").strip(), 200))

    return _sound(each())


# -- common ------------------------------------------------------------------------------------------------------------------


def _check(body: bytes) -> None:
    if not body.strip():
        raise BadPayload("The results are empty.", hint=_HINT)
    if len(body) > MAX_BYTES:
        raise BadPayload(f"The results are longer than {MAX_BYTES} bytes.", hint="Split them into several files.")


def _sound(every: Iterator[Measured]) -> tuple[Measured, ...]:
    """With names that are shown as they are, bounded; of a name that comes again the last value counts."""
    found: dict[tuple[str, str], Measured] = {}
    for one in every:
        name = one_line(one.name, _NAME)
        if not name:
            raise BadPayload("A result has no name.", hint=_HINT)
        found[name, one.version] = msgspec.structs.replace(one, name=name)
        if len(found) > MAX_MEASURED:
            raise BadPayload(f"There are more than {MAX_MEASURED} results.", hint="Split them into several files.")
    if not found:
        raise BadPayload("The file holds no result.", hint=_HINT)
    return tuple(found.values())


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    """A finite number within bounds; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and abs(number) <= MAX_VALUE else None


def _cell(text: str) -> float | None:
    try:
        return _number(float(text)) if len(text) <= 50 else None
    except ValueError:
        return None


PARSERS: Final[dict[str, Callable[[bytes], tuple[Measured, ...]]]] = {
    "junit": parse_durations,
    "pytest-benchmark": parse_pytest_benchmark,
    "k6": parse_k6,
    "locust": parse_locust,
    "csv": parse_csv,
}
