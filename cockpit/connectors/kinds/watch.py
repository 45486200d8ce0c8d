"""What tells of latency, errors and alerts. Each connector is imported when one is created."""

from __future__ import annotations

from typing import Any

from cockpit.connectors.kinds.common import CA_FILE, TOKEN, Options, Secret, client
from cockpit.connectors.ports import ConnectorSpec, Field


def _openmetrics(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.openmetrics import Names, OpenMetricsScraper

    default = Names()
    names = Names(
        histogram=options.get("histogram") or default.histogram,
        errors=options.get("errors") or default.errors,
        operation_label=options.get("operation_label") or default.operation_label,
        volatility=options.get("volatility") or default.volatility,
        invariants=options.get("invariants") or default.invariants,
    )
    return OpenMetricsScraper(names, path=options.get("path") or "/metrics", token=secret, ca_file=options.get("ca_file", ""))


def _http_probe(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.http_probe import HttpProbe

    paths, ca_file = options.get("paths") or "/healthz", options.get("ca_file", "")
    return HttpProbe(paths, options.get("rate") or "2", options.get("timeout_s") or "2", token=secret, ca_file=ca_file)


def _prometheus(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.prometheus import PrometheusMetrics, Selection

    default = Selection()
    chosen = Selection(**{name: options.get(name) or getattr(default, name) for name in Selection.__struct_fields__})
    return PrometheusMetrics(client(options, secret, "The metrics server"), chosen, options["stale_s"])


def _alertmanager(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.alertmanager import Alertmanager, Labels

    labels = Labels(options.get("service_label") or "service", options.get("environment_label") or "environment")
    return Alertmanager(client(options, secret, "The alerting system"), labels=labels)


KINDS: tuple[ConnectorSpec, ...] = (
    ConnectorSpec(
        kind="openmetrics",
        title="Metrics pages of the nodes",
        ports=("MetricsApi",),
        fields=(
            Field("path", "Path", required=False, default="/metrics", description="The metrics page of each node"),
            Field("histogram", "Histogram", required=False, default="http_server_request_duration_seconds"),
            Field("errors", "Error counter", required=False, default="http_server_errors_total"),
            Field("operation_label", "Operation label", required=False, default="operation"),
            Field("volatility", "Volatility", required=False, description="A gauge of those pages that tells how wild the market is"),
            Field("invariants", "Invariants", required=False, description="A counter of those pages of what must never happen"),
            TOKEN,
            CA_FILE,
        ),
        create=_openmetrics,
        rights=("read each node's metrics page",),
    ),
    ConnectorSpec(
        kind="http-probe",
        title="Requests of our own (active probe)",
        ports=("MetricsApi",),
        fields=(
            Field(
                "paths", "Paths", required=False, default="/healthz", description="operation=/path, or /path; separated by spaces or lines"
            ),
            Field("rate", "Requests a second", kind="number", required=False, default="2", description="To each node and path; 0.1 to 50"),
            Field("timeout_s", "Time limit (seconds)", kind="number", required=False, default="2", description="Later is an error"),
            TOKEN,
            CA_FILE,
        ),
        create=_http_probe,
        rights=("ask each node for these paths",),
        shared=True,
    ),
    ConnectorSpec(
        kind="prometheus",
        title="Prometheus, or any PromQL engine",
        ports=("MetricsApi",),
        fields=(
            Field("url", "Address", kind="url", description="Where the query interface lives, without /api/v1"),
            Field("histogram", "Histogram", required=False, default="http_server_request_duration_seconds"),
            Field("errors", "Error counter", required=False, default="http_server_errors_total"),
            Field("operation_label", "Operation label", required=False, default="operation"),
            Field("selector", "More matchers", required=False, description='Put into the braces of each query, such as job="gateway"'),
            Field("node_label", "Node label", required=False, description="Holds a node's name; empty: instance is its host:port"),
            Field("service_label", "Service label", required=False, description="Beside the node label, where names are not unique"),
            Field("environment_label", "Environment label", required=False, description="The same"),
            Field("volatility", "Volatility", required=False, description="A gauge of each node that tells how wild the market is"),
            Field("invariants", "Invariants", required=False, description="A counter of each node of what must never happen"),
            Field("stale_s", "Stale after (seconds)", kind="number", required=False, default="60", description="Older counts as silent"),
            TOKEN,
            CA_FILE,
        ),
        create=_prometheus,
        rights=("query metrics",),
    ),
    ConnectorSpec(
        kind="alertmanager",
        title="Alertmanager",
        ports=("AlertsApi",),
        fields=(
            Field("url", "Address", kind="url", description="Where it lives, without /api/v2"),
            Field("service_label", "Service label", required=False, default="service", description="Names an alert's service"),
            Field("environment_label", "Environment label", required=False, default="environment", description="Names its environment"),
            TOKEN,
            CA_FILE,
        ),
        create=_alertmanager,
        rights=("read alerts and silences", "make silences and end them"),
        shared=True,
    ),
)
