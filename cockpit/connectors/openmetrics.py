"""Latency histograms scraped from each node's metrics page (OpenMetrics, or Prometheus text)."""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from msgspec import Struct

from cockpit.connectors.http import HttpClient, Limits
from cockpit.connectors.ports import Probe
from cockpit.connectors.text import one_line
from cockpit.domain.errors import BadPayload, CockpitError, ConfigError, ConnectorError, Unreachable
from cockpit.domain.metrics import Histogram, Reading, merge
from cockpit.domain.release import Node

ACCEPT = "application/openmetrics-text; version=1.0.0, text/plain; version=0.0.4; q=0.5"
SCRAPE_LIMITS = Limits(connect_timeout_s=0.5, read_timeout_s=1.0, deadline_s=1.5, body_bytes=8 * 1024 * 1024, retries=0)
WORKERS = 8
# what the parsers raise on text that is no metrics page
_PARSER_ERRORS = (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, OverflowError)
_DESCRIBED = re.compile(r"^# (TYPE|UNIT|HELP) ")
_HINT = "Set `histogram`, `errors` and `operation_label` of this connection to the names the service uses."


class Names(Struct, frozen=True):
    """Which metrics hold what: the histogram's name, the error counter's, and the label that names an operation.

    `volatility`: the gauge that tells how wild the market is; `invariants`: the counter of what must never happen, one series for each;
    "" = none.
    """

    histogram: str = "http_server_request_duration_seconds"
    errors: str = "http_server_errors_total"
    operation_label: str = "operation"
    volatility: str = ""
    invariants: str = ""


class _Place(Struct, frozen=True):
    """Where one sample belongs. kind: bucket, sum, errors, volatility or violations; series: all labels except `le`."""

    kind: str
    operation: str
    series: tuple[tuple[str, str], ...] = ()
    bound_s: float = 0.0


def parse_reading(text: str, node: Node, at_us: int, names: Names | None = None, openmetrics: bool = True) -> Reading:
    """The reading that a metrics page holds; BadPayload where it is none or where the histogram contradicts itself."""
    return PageReader(names or Names()).read(text, node, at_us, openmetrics)


class PageReader:
    """Reads the pages of one node.

    The parser takes 10 ms of pure Python for 200 lines, and from one scrape to the next only the values differ. So the parser reads a page
    whose lines it has not seen, and where the next page has the same lines up to the values, only those are taken.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._errors = names.errors.removesuffix("_total")
        self._invariants = names.invariants.removesuffix("_total")
        self._heads: list[str] = []
        self._places: list[_Place | None] = []
        self._absent: dict[str, str] = {}

    def read(self, text: str, node: Node, at_us: int, openmetrics: bool = True) -> Reading:
        """See `parse_reading`."""
        lines = self._wanted(text)
        heads, values = _split(lines)
        if heads != self._heads or len(values) != len(self._places) or any(v != v for v in values):
            places, values = self._parse(lines, openmetrics)
            aligned = _split(lines)[1] == values  # else timestamps or odd spacing: then the parser reads each page
            self._heads, self._places = (heads, places) if aligned else ([], [])
            self._absent = self._missing(lines)
        else:
            places = self._places
        known = [(place, value) for place, value in zip(places, values, strict=True) if place is not None]
        volatility, violations = _beside(known)
        return Reading(node.name, node.service, node.environment, at_us, _histograms(known), volatility, violations, self._absent)

    def _missing(self, lines: list[str]) -> dict[str, str]:
        """The named gauge and counter that are not there; one that is only described has counted nothing yet."""
        there = {re.split(r"[{ ]", _DESCRIBED.sub("", line), maxsplit=1)[0].removesuffix("_total") for line in lines}
        named = {"volatility": self._names.volatility, "invariants": self._names.invariants}
        return {what: name for what, name in named.items() if name and name.removesuffix("_total") not in there}

    def _wanted(self, text: str) -> list[str]:
        """The lines of our metrics, with what describes them."""
        ours = tuple(name for name in (self._names.histogram, self._errors, self._names.volatility, self._invariants) if name)
        described = tuple(f"# {word} {name}" for name in ours for word in ("TYPE", "UNIT", "HELP"))
        lines = [line for line in text.splitlines() if line.startswith(ours) or line.startswith(described)]
        if not any(line.removeprefix("# TYPE ").startswith(self._names.histogram) for line in lines):
            page = text.lstrip()[:1] == "<"
            what = (
                "The answer is a web page, no metrics page."
                if page
                else f"There is no histogram “{self._names.histogram}” on the metrics page."
            )
            raise BadPayload(what, hint=_HINT)
        return lines

    def _parse(self, lines: list[str], openmetrics: bool) -> tuple[list[_Place | None], list[float]]:
        families: Callable[[str], Any]
        if openmetrics:
            from prometheus_client.openmetrics.parser import text_string_to_metric_families as families
        else:
            from prometheus_client.parser import text_string_to_metric_families as families
        page = "\n".join(lines) + ("\n# EOF\n" if openmetrics else "\n")
        places: list[_Place | None] = []
        values: list[float] = []
        try:
            for family in families(page):
                for sample in family.samples:
                    places.append(self._place(sample.name, sample.labels))
                    values.append(float(sample.value))
        except _PARSER_ERRORS as error:
            raise BadPayload(f"The metrics page cannot be read: {one_line(str(error), 300)}.", hint=_HINT) from None
        return places, values

    def _place(self, name: str, labels: dict[str, str]) -> _Place | None:
        operation = labels.get(self._names.operation_label, "")
        series = tuple(sorted(item for item in labels.items() if item[0] != "le"))
        if name == f"{self._names.histogram}_bucket":
            return _Place("bucket", operation, series, float(labels["le"]))
        if name == f"{self._names.histogram}_sum":
            return _Place("sum", operation, series)
        if name in (self._errors, f"{self._errors}_total"):
            return _Place("errors", operation)
        if self._invariants and name in (self._invariants, f"{self._invariants}_total"):
            return _Place("violations", ", ".join(value for _, value in series) or name)
        return _Place("volatility", "") if name == self._names.volatility else None


def _split(lines: list[str]) -> tuple[list[str], list[float]]:
    """(each line up to its value, the values); an unreadable value becomes NaN, which equals nothing."""
    heads, values = [], []
    for line in lines:
        if line.startswith("#"):
            heads.append(line)
            continue
        # a label's text may hold "} " too, so the line is cut at its last one; what follows is the value alone, or float refuses it
        head, brace, rest = line.rpartition("} ") if "} " in line else line.partition(" ")
        heads.append(head + brace)
        try:
            # behind " # " stands an exemplar with a value of its own
            values.append(math.nan if " # " in line else float(rest))
        except ValueError:
            values.append(math.nan)
    return heads, values


def _beside(known: list[tuple[_Place, float]]) -> tuple[float, dict[str, float]]:
    """How wild the market is, and how often each invariant did not hold; values that are no measure tell nothing."""
    wild = [value for place, value in known if place.kind == "volatility"]
    violations: dict[str, float] = {}
    for place, value in known:
        if place.kind == "violations" and 0 <= value < math.inf:
            words = one_line(place.operation, 100)
            violations[words] = violations.get(words, 0.0) + value
    return sum(wild) if wild and all(0 <= v < math.inf for v in wild) else math.nan, violations


def _histograms(known: list[tuple[_Place, float]]) -> dict[str, Histogram]:
    buckets: dict[str, dict[tuple[tuple[str, str], ...], dict[float, float]]] = {}
    sums: dict[str, float] = {}
    errors: dict[str, float] = {}
    for place, value in known:
        if place.kind in ("volatility", "violations"):
            continue
        if place.kind == "bucket":
            buckets.setdefault(place.operation, {}).setdefault(place.series, {})[place.bound_s] = value
            continue
        if place.kind == "errors" and not (math.isfinite(value) and value >= 0):
            raise BadPayload(f"The error count of “{one_line(place.operation, 100)}” is {value}.", hint=_HINT)
        into = sums if place.kind == "sum" else errors
        into[place.operation] = into.get(place.operation, 0.0) + (value if math.isfinite(value) else 0.0)
    result = {}
    for operation, series in buckets.items():
        merged = merge([_histogram(counts, operation) for counts in series.values()])
        if merged is None:
            raise BadPayload(f"The histograms of “{one_line(operation, 100)}” have different buckets.", hint=_HINT)
        result[operation] = Histogram(merged.bounds_s, merged.counts, sums.get(operation, 0.0), errors.get(operation, 0.0))
    return result


def _histogram(counts: dict[float, float], operation: str) -> Histogram:
    bounds = tuple(sorted(counts))
    ordered = tuple(counts[bound] for bound in bounds)
    rising = all(a <= b for a, b in itertools.pairwise(ordered))
    if not bounds or bounds[-1] != math.inf or not rising or not all(math.isfinite(c) and c >= 0 for c in ordered):
        raise BadPayload(f"The histogram of “{one_line(operation, 100)}” contradicts itself: its buckets are not cumulative.", hint=_HINT)
    return Histogram(bounds, ordered)


def _now_us() -> int:
    return time.time_ns() // 1000


class OpenMetricsScraper:
    """MetricsApi that asks the nodes themselves. Blocks; one call at a time; ConnectorErrors only.

    Node addresses come from the deployment system; `token` goes to each of them.
    """

    def __init__(
        self,
        names: Names | None = None,
        *,
        path: str = "/metrics",
        token: Callable[[], str] | None = None,
        limits: Limits = SCRAPE_LIMITS,
        ca_file: str = "",
        now_us: Callable[[], int] = _now_us,
    ) -> None:
        self._names = names or Names()
        self._path, self._token, self._limits, self._ca_file, self._now_us = path, token, limits, ca_file, now_us
        self._clients: dict[str, tuple[HttpClient, PageReader]] = {}
        self._last: tuple[Node, ...] = ()

    def close(self) -> None:
        """Close kept connections to all nodes."""
        clients, self._clients = self._clients, {}
        for client, _ in clients.values():
            client.close()

    def read(self, nodes: tuple[Node, ...]) -> tuple[Reading, ...]:
        """A reading of each node that answered, in the order of `nodes`; the error where none did.

        Nothing is invented for a node that is silent, and nothing raised while another answers: `Reading.node` equals `Node.name`, so who
        asks compares the nodes asked with the nodes answered and says which are missing.
        """
        self._last = tuple(node for node in nodes if node.url)
        self._forget({node.url for node in self._last})
        outcomes: list[Reading | CockpitError] = []
        if len(self._last) > 1:
            with ThreadPoolExecutor(min(WORKERS, len(self._last)), thread_name_prefix="scrape") as pool:
                outcomes.extend(pool.map(self._scrape, self._last))
        else:
            outcomes.extend(self._scrape(node) for node in self._last)
        readings = tuple(o for o in outcomes if isinstance(o, Reading))
        if not readings and nodes:
            raise self._failure([o for o in outcomes if isinstance(o, CockpitError)])
        return readings

    def probe(self) -> Probe:
        """Scrapes the nodes known from the last read; before it there is nothing to reach."""
        if not self._last:
            return Probe("the nodes that the deployment system names", missing=("no node is known yet",))
        readings = self.read(self._last)
        silent = {n.name for n in self._last} - {r.node for r in readings}
        return Probe(f"{len(readings)} of {len(self._last)} nodes", missing=tuple(f"no answer from {name}" for name in sorted(silent)))

    def _scrape(self, node: Node) -> Reading | CockpitError:
        try:
            client, reader = self._client(node.url)
            answer = client.get_answer(self._path, {"Accept": ACCEPT})
            openmetrics = "openmetrics" in answer.headers.get("content-type", "").lower()
            return reader.read(answer.body.decode("utf-8", "replace"), node, self._now_us(), openmetrics)
        except (ConnectorError, ConfigError) as error:
            return error

    def _client(self, url: str) -> tuple[HttpClient, PageReader]:
        known = self._clients.get(url)
        if known is None:
            client = HttpClient(url, token=self._token, limits=self._limits, ca_file=self._ca_file)
            known = self._clients.setdefault(url, (client, PageReader(self._names)))
        return known

    def _forget(self, current: set[str]) -> None:
        for url in [u for u in self._clients if u not in current]:
            self._clients.pop(url)[0].close()

    @staticmethod
    def _failure(errors: list[CockpitError]) -> ConnectorError:
        first = errors[0] if errors else None
        if isinstance(first, ConnectorError) and all(type(e) is type(first) for e in errors):
            return first
        said = f" First: {first.message}" if first else " None of them has an address."
        return Unreachable(f"No node answered.{said}", hint="Check that the nodes run and that their addresses are right.")
