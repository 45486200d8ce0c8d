"""Latency histograms, error counts and gauges, written as OpenMetrics 1.0 text."""

#@ since all-created
import time
#@ end
from bisect import bisect_left

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

# Two bounds an octave from 0.25 ms to 5 s: a p99.9 is known to within a factor of 1.4.
BOUNDS_S = (
    0.00025, 0.00035, 0.0005, 0.0007, 0.001, 0.0014, 0.002, 0.0028, 0.004, 0.0056,
    0.008, 0.011, 0.016, 0.022, 0.032, 0.045, 0.064, 0.09, 0.128, 0.18,
    0.256, 0.36, 0.512, 0.72, 1.0, 1.4, 2.0, 2.8, 4.0, 5.0,
)  # fmt: skip


class Histogram:
    """Durations of one operation, counted by bucket."""

    __slots__ = ("counts", "errors", "sum_s")

    def __init__(self):
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.errors = 0
        self.sum_s = 0.0

    def observe(self, seconds):
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds


class Metrics:
    """Everything /metrics tells. Operations are known from the start, so that every rate begins at zero."""

    def __init__(self, operations):
        self._operations = {name: Histogram() for name in operations}
        self._gauges = []
        self._broken = {}
#@ since all-created
        self._created_s = time.time()
#@ end

    def gauge(self, name, help_text, read):
        self._gauges.append((name, help_text, read))

    def invariants(self, broken):
        """What must never happen, in words, and how often it did."""
        self._broken = broken

    def observe(self, operation, seconds, failed):
        histogram = self._operations[operation]
        histogram.observe(seconds)
        histogram.errors += failed

    def text(self):
        lines = [
            "# TYPE http_server_request_duration_seconds histogram",
            "# UNIT http_server_request_duration_seconds seconds",
            "# HELP http_server_request_duration_seconds From the request being read to the answer being written.",
        ]
        for name, histogram in self._operations.items():
            lines.extend(self._histogram_lines(name, histogram))
        lines.append("# TYPE http_server_errors counter")
        lines.append("# HELP http_server_errors Answers with status 500 and above.")
        for name, histogram in self._operations.items():
            lines.append('http_server_errors_total{operation="%s"} %d' % (name, histogram.errors))
#@ since all-created
            lines.append('http_server_errors_created{operation="%s"} %.3f' % (name, self._created_s))
#@ end
        for name, help_text, read in self._gauges:
            lines += ["# TYPE %s gauge" % name, "# HELP %s %s" % (name, help_text), "%s %d" % (name, read())]
        lines.append("# TYPE venue_violations counter")
        lines.append("# HELP venue_violations Invariants that did not hold after a request.")
        for words, count in self._broken.items():
            lines.append('venue_violations_total{invariant="%s"} %d' % (words, count))
        lines.append("# EOF\n")
        return "\n".join(lines)

    def _histogram_lines(self, name, histogram):
        family = "http_server_request_duration_seconds"
        total = 0
        for bound, count in zip(BOUNDS_S, histogram.counts):
            total += count
            yield '%s_bucket{operation="%s",le="%r"} %d' % (family, name, bound, total)
        total += histogram.counts[-1]
        yield '%s_bucket{operation="%s",le="+Inf"} %d' % (family, name, total)
        yield '%s_count{operation="%s"} %d' % (family, name, total)
        yield '%s_sum{operation="%s"} %r' % (family, name, histogram.sum_s)
#@ since all-created
        yield '%s_created{operation="%s"} %.3f' % (family, name, self._created_s)
#@ end
