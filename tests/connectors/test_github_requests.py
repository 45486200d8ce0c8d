"""The real pollers on a GitHub connection: an hour without news costs next to nothing."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

import bench_github_requests as bench

from tests.fakes.github_spec import specification

SERVICES = ("service-01", "service-02", "service-03")


def test_what_is_known_is_asked_with_a_condition() -> None:
    requests = bench.hour(SERVICES, 300.0)
    late = [r for r in requests if r.at_s > bench.START_S + 120]
    assert len(late) > 30
    assert [r.path for r in late if r.counted] == []
    assert bench.worst_minute(requests) < bench.POINTS
    # 20 a service is what leaves 50 of them below a thousand
    assert sum(r.counted for r in requests) < 20 * len(SERVICES) + 40
    specification().check(requests)


def test_the_table_names_what_was_asked() -> None:
    requests = bench.hour(SERVICES[:1], 30.0)
    told = bench.table(requests)
    assert "GET /deployments/*/statuses" in told
    assert "GET /compare/*" in told
    assert told.splitlines()[-1].split()[1] == str(len(requests))
