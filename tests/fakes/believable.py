"""A made-up state of three services in two environments, everything answered a second ago."""

from __future__ import annotations

import hashlib
import math
from typing import Any

from cockpit.domain.approvals import Approval
from cockpit.domain.checks import CheckRun, CheckState, Suite, TestResult
from cockpit.domain.facts import Fact, place
from cockpit.domain.metrics import Band, LatencyPoint
from cockpit.domain.release import Artifact, Changes, Commit, Deployment, DeployState, Environment, Fleet, Node, Service, Version
from cockpit.services.store import AppState, LatencyStatus, Problem, SourceHealth, changes_key

NOW_US = 1_795_340_467_000_000  # 2026-11-22 09:41:07 UTC
S = 1_000_000
MIN = 60 * S
HOUR = 60 * MIN
RELEASED = {
    "order-gateway": ("1.4.0", "1.5.0", "1.5.1", "1.6.0", "1.7.0", "1.8.0"),
    "market-data": ("2.1.0", "2.2.0", "2.2.1", "2.3.0", "2.3.1"),
    "risk-engine": ("0.9.0", "0.9.1", "0.9.2", "0.10.0"),
}
LIVE = {
    "order-gateway@production": "1.6.0",
    "order-gateway@staging": "1.7.0",
    "market-data@production": "2.3.0",
    "market-data@staging": "2.3.1",
    "risk-engine@production": "0.9.2",
    "risk-engine@staging": "0.9.2",
}
PEOPLE = ("Ada Quill", "Bela Marsh", "Chidi Vance", "Dora Lindt", "Emre Sol")
SUBJECTS = (
    "Match orders of one price in the order they came",
    "Keep prices as decimal strings on the wire",
    "Walk the book once per order instead of once per level when the depth is asked for together with the quote",
    "Refuse orders with a negative quantity before they reach the book",
    "Measure latency per operation",
    "<b>Bold</b> claims & \x1b[31mred\x1b[0m letters stay plain text \u202eesrever",
    "Answer 503 while the book is being rebuilt",
)


def sha(text: str) -> str:
    """A made-up digest that looks like one."""
    return hashlib.sha256(text.encode()).hexdigest()


def mail(name: str) -> str:
    """The made-up address of a made-up person."""
    return name.lower().replace(" ", ".") + "@playground.invalid"


def version(service: str, name: str) -> Version:
    """A released version; the newest came ten minutes ago, the others two days apart."""
    back = list(reversed(RELEASED[service])).index(name)
    released = NOW_US - (10 * MIN if back == 0 else back * 48 * HOUR)
    key = f"{service} {name}"
    return Version(service, name, f"{service}/v{name}", sha(key + " commit")[:40], released, sha(key))


def commits(seed: str, count: int) -> tuple[Commit, ...]:
    """Made-up commits, newest first."""
    answer = []
    for i in range(count):
        who, reviewer = PEOPLE[i % 3], PEOPLE[(i + 1) % 5]
        answer.append(
            Commit(
                sha(f"{seed} {i}")[:40],
                who,
                mail(who),
                NOW_US - (i + 1) * 3 * HOUR,
                SUBJECTS[i % len(SUBJECTS)],
                reviewers=(f"{reviewer} <{mail(reviewer)}>",) if i % 4 else (),
                co_authors=(f"{PEOPLE[2]} <{mail(PEOPLE[2])}>",) if i % 5 == 2 else (),
                files=tuple(f"services/gateway/module_{n}.py" for n in range(1 + i % 6)),
            )
        )
    return tuple(answer)


def changes() -> dict[str, Fact[Changes]]:
    """Every pair of neighbours and every pair of live and pending, both ways."""
    answer = {}
    for service, names in RELEASED.items():
        for a, base in enumerate(names):
            for b, head in enumerate(names):
                tags = (f"{service}/v{base}", f"{service}/v{head}")
                coming = commits(f"{service} {head}", 7 * max(0, b - a) or 7)[: 7 * max(0, b - a)]
                leaving = commits(f"{service} {base}", 7 * max(0, a - b) or 7)[: 7 * max(0, a - b)]
                found = Changes(*tags, coming, leaving, len(coming), len(leaving))
                key = changes_key(service, version(service, base).commit, version(service, head).commit)
                answer[key] = Fact(found, NOW_US - 2 * S, "git", 3600)
    return answer


def results(suite: str, passed: int, failed: int, running: int, skipped: int) -> tuple[TestResult, ...]:
    """Results as a runner would report them."""
    message = (
        "def test_price_is_a_decimal_string(gateway):\n    answer = gateway.get('/orders/17').json()\n"
        ">   assert isinstance(answer['price'], str)\nE   AssertionError: assert False\nE    +  where False = isinstance(101.25, str)\n\n"
        "services/order-gateway/tests/integration/test_contract.py:41: AssertionError"
    )
    answer = [TestResult(f"test_{suite}::test_contract_{i}", "failed", 0.31 + i / 10, message) for i in range(failed)]
    answer += [TestResult(f"test_{suite}::test_depth_of_book_{i}", "running") for i in range(running)]
    answer += [TestResult(f"test_{suite}::test_case_{i:02}_of_many", "passed", 0.01 * (i % 9 + 1)) for i in range(passed)]
    answer += [TestResult(f"test_{suite}::test_on_another_platform_{i}", "skipped") for i in range(skipped)]
    return tuple(answer)


def past_run(v: Version, number: int, failed: bool = False) -> CheckRun:
    """A run that ended, just after its version was released."""
    start = v.released_at_us + 20 * S
    suites = []
    for suite, total, seconds in (
        ("unit", 48, 14 + number % 3),
        ("integration", 21, 31 + 2 * (number % 4)),
        ("performance", 6, 62 + number),
    ):
        bad = failed and suite == "integration"
        state = CheckState.FAILED if bad else CheckState.PASSED
        seen = results(suite, total - 3, 2, 0, 1) if bad else ()
        counts = (total - 3, 2, 0, 1) if bad else (total - 1, 0, 0, 1)
        suites.append(Suite(suite, state, total, *counts, started_at_us=start, finished_at_us=start + seconds * S, tests=seen))
    state = CheckState.FAILED if failed else CheckState.PASSED
    return CheckRun(f"run-{number:03}", v.service, v.name, v.commit, state, tuple(suites), start, start + (96 + 7 * number) * S)


def live_run(v: Version, number: int) -> CheckRun:
    """A run under way: unit passed, integration running with failures, performance waiting."""
    start = NOW_US - 40 * S
    unit = Suite("unit", CheckState.PASSED, 48, 47, 0, 0, 1, start, start + 14 * S)
    running = Suite("integration", CheckState.RUNNING, 21, 12, 2, 0, 1, NOW_US - 22 * S, 0, results("integration", 12, 2, 2, 1))
    waiting = Suite("performance", CheckState.PENDING)
    return CheckRun(f"run-{number:03}", v.service, v.name, v.commit, CheckState.RUNNING, (unit, running, waiting), start)


def runs(service: str) -> tuple[CheckRun, ...]:
    """Runs of a service, newest first."""
    names = RELEASED[service]
    answer = [past_run(version(service, n), i, failed=(service, n) == ("order-gateway", "1.5.1")) for i, n in enumerate(names)]
    if service == "order-gateway":
        answer[-1] = live_run(version(service, names[-1]), len(names) - 1)
    return tuple(reversed(answer))


def fleet(service: str, environment: str) -> Fleet:
    """Two nodes in staging, four in production; market-data's production is mixed."""
    v = version(service, LIVE[place(service, environment)])
    nodes = []
    for i in range(4 if environment == "production" else 2):
        seen = version(service, "2.3.1") if (service, environment, i) == ("market-data", "production", 3) else v
        nodes.append(
            Node(f"{environment}-{i + 1}", service, environment, seen.name, seen.commit, seen.digest, True, f"http://127.0.0.1:{9000 + i}")
        )
    return Fleet(service, environment, tuple(nodes))


def history(service: str, environment: str) -> tuple[Deployment, ...]:
    """Every version up to the live one was deployed, the live one twelve minutes ago."""
    names = RELEASED[service]
    upto = names.index(LIVE[place(service, environment)])
    answer = []
    for i in range(upto + 1):
        v = version(service, names[i])
        before = version(service, names[i - 1]) if i else None
        start = NOW_US - 12 * MIN - (upto - i) * 47 * HOUR
        answer.append(
            Deployment(
                f"d-{service}-{environment}-{i}",
                sha(f"key {service} {environment} {i}")[:32],
                service,
                environment,
                v.name,
                v.digest,
                "deploy",
                DeployState.SUCCEEDED,
                requested_by=PEOPLE[i % 5],
                from_version=before.name if before else "",
                from_digest=before.digest if before else "",
                started_at_us=start,
                finished_at_us=start + (34 + 3 * i) * S,
            )
        )
    return tuple(reversed(answer))


def latency_point(at_us: int, service: str, environment: str, scale: float = 1.0) -> LatencyPoint:
    """A made-up point with some life in it; order-gateway in production leaves its band in the last three minutes."""
    t = at_us / S
    wave = 1 + 0.12 * math.sin(t / 37) + 0.08 * math.sin(t / 5.3) + 0.05 * math.sin(t * 1.7)
    base = {"order-gateway": 1.9, "market-data": 0.8, "risk-engine": 3.1}[service] * scale * wave
    hot = (service, environment) == ("order-gateway", "production") and at_us > NOW_US - 3 * MIN
    factor = 1 + (14 * min(1.0, (at_us - (NOW_US - 3 * MIN)) / (40 * S)) if hot else 0)
    errors = 0.012 if hot else 0.0004 if int(t) % 46 < 4 else 0.0
    rate = 420 + 30 * math.sin(t / 80) + (240 if hot else 0)
    return LatencyPoint(at_us, base * 0.5, base * 1.1, base * 2.1 * factor, base * 3.4 * factor, rate, errors, rate * 5)


def latency_status(service: str, environment: str) -> LatencyStatus:
    """The newest point, with the band of the version before."""
    names = RELEASED[service]
    at = names.index(LIVE[place(service, environment)])
    point = latency_point(NOW_US, service, environment)
    normal = latency_point(NOW_US - 10 * MIN, service, environment)
    band = Band((normal.p99_ms or 0) * 0.5, (normal.p99_ms or 0) * 1.5, 300, names[max(0, at - 1)])
    return LatencyStatus(point, band, (point.p99_ms or 0) > band.high_ms)


def approvals() -> tuple[Approval, ...]:
    """One that counts for order-gateway 1.7.0, one by an author, and a rejection of market-data 2.3.1."""
    og, md = version("order-gateway", "1.7.0"), version("market-data", "2.3.1")

    def word(v: Version, who: str, approved: bool, comment: str, minutes: int) -> Approval:
        at = NOW_US - minutes * MIN
        return Approval(v.service, v.name, "production", v.commit, v.digest, mail(who), who, approved, comment, at)

    return (
        word(og, "Dora Lindt", True, "Contract tests and soak in staging look fine.", 34),
        word(og, "Ada Quill", True, "mine", 30),
        word(md, "Emre Sol", False, "The feed handler drops the last tick of an auction; see the failing soak.", 12),
    )


def sources() -> dict[str, SourceHealth]:
    """Four that answer, one stale, one failed, one stopped."""
    ok = {"last_success_us": NOW_US - S, "last_attempt_us": NOW_US - S, "next_poll_us": NOW_US + S}
    refused = Problem("Not authorised", "The token was refused (401).", "Set a new token, then test the connection.")
    gone = Problem("Not reachable", "http://127.0.0.1:9400 refused the connection.", "Is it running? It is asked again in a few seconds.")
    late = {"last_success_us": NOW_US - 95 * S, "last_attempt_us": NOW_US - 2 * S, "next_poll_us": NOW_US + 6 * S}
    return {
        s.id: s
        for s in (
            SourceHealth("repository", "git repository", "git", took_ms=3.1, **ok),
            SourceHealth("ci", "CI runner", "ci-v1", took_ms=8.4, **ok),
            SourceHealth("deployer", "Deployer", "deployment-v1", took_ms=5.2, **ok),
            SourceHealth("latency", "Node metrics", "openmetrics", took_ms=12.4, **ok),
            SourceHealth("archive-ci", "CI of the archive", "ci-v1", last_success_us=NOW_US - 41 * S, last_attempt_us=NOW_US - 41 * S),
            SourceHealth("edge-metrics", "Metrics of the edge", "openmetrics", took_ms=2003.0, problem=gone, **late),
            SourceHealth("vendor", "Vendor deployments", "deployment-v1", last_attempt_us=NOW_US - 300 * S, problem=refused, stopped=True),
        )
    }


def believable_state() -> AppState:
    """Three services, two environments, everything answered a second ago."""
    envs = (Environment("staging", 1), Environment("production", 2, True, 1, "staging"))
    places = [(s, e.name) for s in RELEASED for e in envs]

    def fact(value: Any, source: str, deadline_s: float = 15.0) -> Fact[Any]:
        return Fact(value, NOW_US - S, source, deadline_s)

    return AppState(
        services=tuple(Service(s, "repo", s + "/v{version}", f"services/{s}") for s in RELEASED),
        environments=envs,
        versions={s: fact(tuple(version(s, n) for n in names), "git") for s, names in RELEASED.items()},
        changes=changes(),
        fleets={place(*p): fact(fleet(*p), "deployer") for p in places},
        deployments={place(*p): fact(history(*p), "deployer") for p in places},
        artifacts={
            s: fact(tuple(Artifact(s, n, version(s, n).commit, version(s, n).digest, NOW_US) for n in names), "deployer")
            for s, names in RELEASED.items()
        },
        checks={s: fact(runs(s), "ci") for s in RELEASED},
        latency={place(*p): fact(latency_status(*p), "latency") for p in places},
        approvals=approvals(),
        sources=sources(),
    )
