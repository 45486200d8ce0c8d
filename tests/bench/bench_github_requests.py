"""What fifty services on one GitHub connection cost in an hour without news, from a cold start; beside the same without conditions."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from cockpit.connectors.github import GAP_S, Github
from cockpit.connectors.github_api import Names
from cockpit.connectors.http import Limits, Pace
from cockpit.domain.release import Environment, Service
from cockpit.services.connections import Connected, Connections
from cockpit.services.jobs import CiJob, DeploymentJob, SourceJob
from cockpit.services.joined import Joined
from cockpit.services.notices import Notices
from cockpit.services.polled import GatesJob
from cockpit.services.reviews import ReviewsJob
from cockpit.services.store import Store
from cockpit.services.sync import Sync
from tests.fakes import github as fake
from tests.fakes.running import FakeMain, InlineRunner

SERVICES = 50
HOUR_S = 3600
TARGET = 1000
POINTS = 900  # a minute: GitHub's secondary limit; a question is one point, a write five
START_S = 1_800_000_000
NAMES = tuple(f"service-{number:02}" for number in range(SERVICES))


class _Clock:
    def __init__(self) -> None:
        self.now_us = START_S * 1_000_000

    def __call__(self) -> int:
        return self.now_us

    def seconds(self) -> float:
        return self.now_us / 1e6

    def sleep(self, seconds: float) -> None:
        self.now_us += round(seconds * 1e6)


def world(git: fake.Github, names: tuple[str, ...] = NAMES) -> None:
    """Each service in a repository of its own: four versions by pull requests, tested, on two environments that are behind."""
    for name in names:
        repository = git.add(f"acme/{name}")
        now = git.clock()
        for number in range(1, 5):
            for part in range(3):
                repository.commit(f"Change {number}.{part}", at_s=now - 90_000 + 1000 * number + part)
            head = repository.commit(f"Work {number}", parents=[repository.main[-1]])
            merge = repository.commit(f"Merge {number}", at_s=now - 90_000 + 1000 * number + 10)
            pull = repository.pull(head, merge)
            repository.review(pull, "bob", "APPROVED", head, now - 80_000)
            repository.tags[f"v1.{number}.0"] = merge
            run = repository.run(merge, created_s=now - 80_000 + number, run_started_s=now - 80_000 + number, updated_s=now - 79_000)
            for job in ("lint", "unit", "integration"):
                repository.job(run, job)
        for environment, numbers in (("staging", (1, 2, 1, 2, 3)), ("production", (1, 2, 1, 2))):
            for count, number in enumerate(numbers):
                made = repository.deployment(f"v1.{number}.0", environment, {"service": name}, created_s=now - 70_000 + count * 100)
                repository.status(made, "in_progress", created_s=now - 69_990 + count * 100)
                repository.status(made, "success", created_s=now - 69_950 + count * 100)


def hour(services: tuple[str, ...] = NAMES, seconds: float = HOUR_S) -> list[fake.Recorded]:
    """All requests of the real pollers in a simulated hour."""
    clock = _Clock()
    git = fake.Github(clock.seconds)
    world(git, services)
    pace = Pace(clock.sleep, clock.seconds, clock.seconds, lambda: 0.5)
    names = Names("acme/{service}")
    connector = Github(git.url, names, lambda: fake.TOKEN, limits=Limits(min_gap_s=GAP_S), pace=pace, monotonic=clock.seconds)
    main, store = FakeMain(clock), Store()
    store.apply(services=tuple(map(Service, services)), environments=(Environment("staging", 1), Environment("production", 2, True)))
    ports = ("SourceControl", "Reviews", "CiSystem", "DeploymentApi", "Gates")
    connected = Connected("github", "GitHub", "github", ports, services, connector, every_s=15.0)
    asked = (connected, store, clock, 150.0)
    job = Joined((SourceJob(*asked), CiJob(*asked), DeploymentJob(*asked), ReviewsJob(*asked), GatesJob(*asked)))
    sync, connections = Sync(main, InlineRunner(main), store, Notices(clock), clock), Connections()
    connections.replace((connected,))
    try:
        sync.begin(connections, {"github": job}, 2.0, 15.0)
        main.run_for(seconds)
        problem = store.state.sources["github"].problem
        assert problem is None, problem
        assert len(store.state.fleets) == 2 * len(services), "every place must have been read"
        assert all(store.state.reviews[name].value for name in services), "and every review"
        assert all(store.state.checks[name].value[0].suites for name in services), "and the jobs of what is pending"
    finally:
        sync.close()
        connector.close()
        git.close()
    return git.requests


def endpoint(request: fake.Recorded) -> str:
    """The request's address with its names and numbers left out."""
    path = re.sub(r"^/repos/[^/]+/[^/]+", "", request.path)
    return f"{request.method} " + re.sub(r"/(\d+|[0-9a-f]{40}(\.\.\.[0-9a-f]{40})?)(?=/|$)", "/*", path)


def table(requests: list[fake.Recorded]) -> str:
    """Requests by endpoint: all of them, those that GitHub counts, and those it counts after the first ten minutes."""
    every: Counter[str] = Counter(endpoint(r) for r in requests)
    counted: Counter[str] = Counter(endpoint(r) for r in requests if r.counted)
    late: Counter[str] = Counter(endpoint(r) for r in requests if r.counted and r.at_s > START_S + 600)
    rows = [f"{name:<44} {every[name]:>7} {counted[name]:>8} {late[name]:>8}" for name in sorted(every)]
    sums = (sum(every.values()), sum(counted.values()), sum(late.values()))
    head = f"{'endpoint below /repos/owner/name':<44} {'all':>7} {'counted':>8} {'later':>8}"
    return "\n".join((head, *rows, f"{'sum':<44} {sums[0]:>7} {sums[1]:>8} {sums[2]:>8}"))


def worst_minute(requests: list[fake.Recorded]) -> int:
    """Points in the fullest minute, wherever it begins."""
    times, begin, worst = sorted((r.at_s, 1 if r.method == "GET" else 5) for r in requests), 0, 0
    points = 0
    for at_s, cost in times:
        points += cost
        while times[begin][0] <= at_s - 60:
            points -= times[begin][1]
            begin += 1
        worst = max(worst, points)
    return worst


def run() -> list[dict[str, Any]]:
    """Counted requests of the hour, and the fullest minute. The rival asks the same without conditions: each of them is counted."""
    ours = hour()
    print(table(ours))
    words = f"{SERVICES} services on one GitHub connection"
    return [
        _result(f"{words}: counted requests in an idle hour", sum(r.counted for r in ours), len(ours), "requests", TARGET),
        _result(f"{words}: points in the fullest minute", worst_minute(ours), POINTS, "points", POINTS),
    ]


def _result(name: str, ours: int, rival: int, unit: str, target: int) -> dict[str, Any]:
    ratio = round(ours / rival, 4)
    return {"name": name, "ours": ours, "rival": rival, "unit": unit, "ratio": ratio, "target": target, "holds": ours < target}
