"""Measures at a fixed rate of arrivals. A late answer never delays the clock: each latency counts from the intended start."""

import time


def measure(client, requests, rate_per_s):
    """Latencies in ms, in order, and the statuses that came back."""
    latencies_ms, statuses = [], set()
    start_s = time.perf_counter()
    for number, (method, path, body) in enumerate(requests):
        intended_s = start_s + number / rate_per_s
        time.sleep(max(0.0, intended_s - time.perf_counter()))
        status, _ = client.text(method, path, body)
        statuses.add(status)
        latencies_ms.append((time.perf_counter() - intended_s) * 1000)
    return latencies_ms, statuses


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def report(name, latencies_ms):
    p50, p99 = quantile(latencies_ms, 0.5), quantile(latencies_ms, 0.99)
    print("%s: %d requests, p50 %.2f ms, p99 %.2f ms, highest %.2f ms" % (name, len(latencies_ms), p50, p99, max(latencies_ms)))
    return p99
