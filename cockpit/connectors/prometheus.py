"""Latency histograms from Prometheus, or any engine that speaks its query interface (Thanos, Mimir, VictoriaMetrics).

A range selector in an instant query is answered with the samples themselves and their own times. So a reading carries the time of the
scrape instead of the time of the question, what is older than the range is not there, and nothing is interpolated.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from cockpit.connectors.http import HttpClient
from cockpit.connectors.http_answers import HINT_INTERFACE, decode
from cockpit.connectors.ports import Probe
from cockpit.connectors.text import one_line
from cockpit.connectors.wire_values import LAST_US, Name
from cockpit.domain.errors import BadPayload, ConfigError, ConnectorError, NotFound, Unreachable
from cockpit.domain.metrics import Histogram, Reading, merge
from cockpit.domain.release import Node

MAX_STALE_S = 3600.0
MAX_SELECTOR = 3000  # characters; a longer list of nodes is picked out here, for proxies refuse long addresses
_METRIC = re.compile(r"[A-Za-z_:][A-Za-z0-9_:.-]*")  # nothing that could end a string of PromQL
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PORTS = {"http": 80, "https": 443}
_HINT = "Set `histogram`, `errors` and `operation_label` of this connection to the names the service uses."
_HINT_SILENT = (
    "Check that it scrapes these nodes, the metric's name and `node_label`; `stale_s` must be at least twice the scrape interval."
)

Stamp = Annotated[float, Meta(ge=0, le=LAST_US / 1e6)]
Labels = tuple[str, ...]


class SeriesWire(Struct):
    """One series with its samples: times in seconds, values as text."""

    metric: dict[str, Name]
    values: list[tuple[Stamp, str]] = []


class DataWire(Struct):
    """The result; one that is no matrix is read only to see that it is none."""

    resultType: str
    result: list[SeriesWire]


class AnswerWire(Struct):
    """GET /api/v1/query."""

    status: str
    data: DataWire | None = None
    error: str = ""


class BuildWire(Struct):
    """What /api/v1/status/buildinfo holds; VictoriaMetrics answers {}."""

    version: Name = ""


class BuildInfoWire(Struct):
    """GET /api/v1/status/buildinfo."""

    status: str
    data: BuildWire | None = None


class Series(Struct, frozen=True):
    """One series: its labels, and its values by their time in microseconds UTC."""

    labels: dict[str, str]
    values: dict[int, float]


class Selection(Struct, frozen=True):
    """Which metrics hold what, and how labels name nodes.

    `node_label` "": the host:port in the label `instance` is that of the node's address; else the label's value is the node's name, and
    `service_label` and `environment_label`, where set, name the rest. `selector` is put into the braces as it is, e.g. `job="gateway"`.
    `volatility`: the gauge that tells how wild the market is; `invariants`: the counter of what must never happen; "" = none.
    """

    histogram: str = "http_server_request_duration_seconds"
    errors: str = "http_server_errors_total"
    operation_label: str = "operation"
    selector: str = ""
    node_label: str = ""
    service_label: str = ""
    environment_label: str = ""
    volatility: str = ""
    invariants: str = ""

    def check(self) -> None:
        """ConfigError where a name is none: it would become a part of a query."""
        metrics = [(name, _METRIC) for name in ("histogram", "errors", "volatility", "invariants")]
        for field, pattern in [*metrics, ("node_label", _LABEL)]:
            name = getattr(self, field)
            if name and not pattern.fullmatch(name):
                raise ConfigError(f"{field}: “{one_line(name, 100)}” is no name in PromQL.", hint="Correct it in the settings.")

    def key_of_node(self, node: Node) -> Labels:
        """The label values that mean this node; () where none can."""
        if not self.node_label:
            return _address(node.url)
        wanted = ((self.service_label, node.service), (self.environment_label, node.environment))
        return (node.name, *(value for label, value in wanted if label))

    def key_of_labels(self, labels: dict[str, str]) -> Labels:
        """The same of a series."""
        if not self.node_label:
            return _address(labels.get("instance", ""))
        names = (self.node_label, self.service_label, self.environment_label)
        return tuple(labels.get(name, "") for name in names if name)

    def query(self, metric: str, keys: list[Labels], stale_s: float) -> str:
        """The question for that metric of all these nodes."""
        label = self.node_label or "instance"
        any_of = "|".join(sorted({_quoted(key[0]) for key in keys}))
        pattern = any_of if self.node_label else f"([^/]*//)?({any_of})(/.*)?"
        counter = metric == self.invariants and bool(metric)
        named = f'__name__=~"{_quoted(metric.removesuffix("_total"))}(_total)?"' if counter else f'__name__="{metric}"'
        parts = [named, f'{label}=~"{pattern}"' if len(any_of) <= MAX_SELECTOR else "", self.selector]
        return f"{{{','.join(part for part in parts if part)}}}[{round(stale_s * 1000)}ms]"


def _address(text: str) -> Labels:
    """(host:port,) of an address or of an instance label; () where there is none."""
    try:
        parts = urlsplit(text if "//" in text else f"//{text}")
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return ()
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    return (f"{host}:{port}" if port else host,) if host else ()


def _quoted(text: str) -> str:
    """`text` as a literal inside of a regular expression inside of a PromQL string."""
    literal = "".join("\\" + c if c in "\\.+*?()|[]{}^$" else c for c in text)
    return literal.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def parse_series(body: bytes) -> tuple[Series, ...]:
    """The series of a query's answer; BadPayload where it is no answer or no matrix."""
    answer = decode(body, AnswerWire)
    if answer.status != "success" or answer.data is None:
        said = one_line(answer.error, 300) or "no data"
        raise BadPayload(f"The query was not answered: {said}.", hint=HINT_INTERFACE)
    if answer.data.result and answer.data.resultType != "matrix":
        raise BadPayload(f"The result is a {one_line(answer.data.resultType, 50)}, no matrix.", hint=HINT_INTERFACE)
    return tuple(Series(s.metric, {round(at * 1000) * 1000: _number(text) for at, text in s.values}) for s in answer.data.result)


def parse_build(body: bytes) -> str:
    """The engine's version; "" where it tells none."""
    answer = decode(body, BuildInfoWire)
    if answer.status != "success":
        raise BadPayload("The build information was not answered.", hint=HINT_INTERFACE)
    return one_line(answer.data.version, 100) if answer.data else ""


def parse_alive(body: bytes) -> bool:
    """Whether queries are answered; BadPayload where they are not."""
    parse_series(body)
    return True


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadPayload(f"“{one_line(text, 50)}” is no sample's value.", hint=HINT_INTERFACE) from None


class Beside(Struct, frozen=True):
    """The series of a node that tell how wild the market is and what must never happen."""

    volatility: list[Series] = []
    invariants: list[Series] = []


BESIDE = Beside.__struct_fields__


def parse_reading(buckets: list[Series], errors: list[Series], node: Node, selection: Selection, beside: Beside | None = None) -> Reading:
    """The newest whole reading of one node from its series; BadPayload where there is none or where it contradicts itself."""
    beside = beside or Beside()
    # the others are asked for after the buckets, and an engine that takes scrapes in piece by piece may be more than one ahead there
    newest_us = max((at for s in buckets for at in s.values), default=0)
    errors, wild, counters = (
        [Series(s.labels, {at: v for at, v in s.values.items() if at <= newest_us}) for s in of]
        for of in (errors, beside.volatility, beside.invariants)
    )
    # a gauge may fall, which says nothing of a restart
    at_us = _moment([s.values for s in (*buckets, *errors, *counters)])
    counts: dict[str, dict[tuple[tuple[str, str], ...], dict[float, float]]] = {}
    for series in buckets:
        if at_us in series.values:
            rest = tuple(sorted(item for item in series.labels.items() if item[0] != "le"))
            operation = counts.setdefault(series.labels.get(selection.operation_label, ""), {})
            operation.setdefault(rest, {})[_number(series.labels.get("le", "none"))] = series.values[at_us]
    if not counts:
        raise BadPayload(f"{one_line(node.name, 100)} has no histogram “{selection.histogram}”.", hint=_HINT)
    failed = _failed(errors, at_us, selection)
    operations = {name: _histogram(list(parts.values()), name, failed.get(name, 0.0)) for name, parts in counts.items()}
    absent = {what: name for what in BESIDE if (name := getattr(selection, what)) and not getattr(beside, what)}
    violations = _violations(counters, at_us, _of_target(buckets, selection))
    return Reading(node.name, node.service, node.environment, at_us, operations, _volatility(wild, at_us), violations, absent)


def _failed(errors: list[Series], at_us: int, selection: Selection) -> dict[str, float]:
    failed: dict[str, float] = {}
    for series in errors:
        value = series.values.get(at_us, 0.0)
        name = series.labels.get(selection.operation_label, "")
        if not (math.isfinite(value) and value >= 0):
            raise BadPayload(f"The error count of “{one_line(name, 100)}” is {value}.", hint=_HINT)
        failed[name] = failed.get(name, 0.0) + value
    return failed


def _volatility(gauges: list[Series], at_us: int) -> float:
    """The sum of what they last told at that time; NaN where one of them is no measure."""
    told = [values[max(values)] for s in gauges if (values := {at: v for at, v in s.values.items() if at <= at_us})]
    return sum(told) if told and all(0 <= value < math.inf for value in told) else math.nan


def _violations(counters: list[Series], at_us: int, target: set[tuple[str, str]]) -> dict[str, float]:
    """How often each invariant did not hold; values that are no count tell nothing."""
    found: dict[str, float] = {}
    for series in counters:
        value = series.values.get(at_us, math.nan)
        if 0 <= value < math.inf:
            own = sorted(item for item in series.labels.items() if item not in target and item[0] != "__name__")
            words = one_line(", ".join(value for _, value in own) or series.labels.get("__name__", ""), 100)
            found[words] = found.get(words, 0.0) + value
    return found


def _of_target(buckets: list[Series], selection: Selection) -> set[tuple[str, str]]:
    """The labels that every series of a node has: the engine put them there, they say nothing about what was counted."""
    common = set.intersection(*(set(series.labels.items()) for series in buckets))
    return {item for item in common if item[0] != selection.operation_label}


def _moment(series: list[dict[int, float]]) -> int:
    """The newest time at which all are known.

    Some engines take a scrape in piece by piece. Half a reading would look like a restart and count everything again; so where series are
    missing and none that is there fell back, as they do when a process really starts again, the time before is the newest whole one.
    """
    stamps = sorted({at for values in series for at in values}, reverse=True)[:2]
    if len(stamps) < 2:
        return stamps[0] if stamps else 0
    now, before = stamps
    lost = any(before in values and now not in values for values in series)
    fell = any(before in values and now in values and values[now] < values[before] for values in series)
    return before if lost and not fell else now


def _histogram(parts: list[dict[float, float]], operation: str, errors: float) -> Histogram:
    merged = merge([Histogram(tuple(sorted(counts)), tuple(counts[bound] for bound in sorted(counts))) for counts in parts])
    shown = one_line(operation, 100)
    if merged is None:
        raise BadPayload(f"The histograms of “{shown}” have different buckets.", hint=_HINT)
    rising = all(a <= b for a, b in itertools.pairwise(merged.counts))
    known = all(math.isfinite(count) and count >= 0 for count in merged.counts)
    if merged.bounds_s[-1] != math.inf or any(bound != bound for bound in merged.bounds_s) or not rising or not known:
        raise BadPayload(f"The histogram of “{shown}” contradicts itself: its buckets are not cumulative.", hint=_HINT)
    return Histogram(merged.bounds_s, merged.counts, 0.0, errors)


class PrometheusMetrics:
    """MetricsApi over an engine's instant queries. Blocks; one call at a time; ConnectorErrors only.

    Two questions for all nodes, however many, and one for each of the gauge and the counter where they are named. `stale_s`: what is
    older does not count as now. Sample times are those of the engine's clock.
    """

    def __init__(self, client: HttpClient, selection: Selection | None = None, stale_s: str = "60") -> None:
        self._client = client
        self._selection = selection or Selection()
        self._selection.check()
        try:
            self._stale_s = float(stale_s)
        except ValueError:
            self._stale_s = 0.0
        if not 0.001 <= self._stale_s <= MAX_STALE_S:
            raise ConfigError(f"stale_s: must be a number of seconds up to {MAX_STALE_S:g}.", hint="Correct it in the settings.")

    def close(self) -> None:
        """Close kept connections."""
        self._client.close()

    def read(self, nodes: tuple[Node, ...]) -> tuple[Reading, ...]:
        """A reading of each node with a recent sample, in the order of `nodes`. Nodes with the same labels are left out."""
        if not nodes:
            return ()
        wanted = [(node, self._selection.key_of_node(node)) for node in nodes]
        keys = [key for _, key in wanted]
        known = [(node, key) for node, key in wanted if key and keys.count(key) == 1]
        if not known:
            raise Unreachable("None of the nodes can be told by its labels.", hint=_HINT_SILENT)
        named = self._selection
        metrics = (f"{named.histogram}_bucket", named.errors, named.volatility, named.invariants)
        found = [self._ask(metric, [key for _, key in known]) if metric else {} for metric in metrics]
        readings, broken = [], []
        for node, key in known:
            if key not in found[0]:
                continue
            try:
                errors, *beside = (of.get(key, []) for of in found[1:])
                readings.append(parse_reading(found[0][key], errors, node, named, Beside(*beside)))
            except BadPayload as error:
                broken.append(error)
        if not readings:
            raise self._failure(broken)
        return tuple(readings)

    def probe(self) -> Probe:
        """The engine's version where it tells one, after a query that it must answer."""
        self._client.read("/api/v1/query", parse_alive, {"query": "vector(1) < 0"})
        try:
            version = self._client.read("/api/v1/status/buildinfo", parse_build)
        except NotFound:
            version = ""
        return Probe(f"PromQL engine {version}" if version else "A PromQL engine that does not tell its version")

    def _ask(self, metric: str, keys: list[Labels]) -> dict[Labels, list[Series]]:
        query = self._selection.query(metric, keys, self._stale_s)
        by_node: dict[Labels, list[Series]] = {}
        for series in self._client.read("/api/v1/query", parse_series, {"query": query}):
            by_node.setdefault(self._selection.key_of_labels(series.labels), []).append(series)
        return by_node

    def _failure(self, broken: list[BadPayload]) -> ConnectorError:
        if broken:
            return broken[0]
        return Unreachable(f"{self._client.name} has no sample of these nodes from the last {self._stale_s:g} s.", hint=_HINT_SILENT)
