"""The contract suite on the Jenkins connector, against a stub of its interface behind a gate that brings the faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cockpit.connectors.http import HttpClient, Limits
from cockpit.connectors.jenkins import Jenkins, Options
from cockpit.contract.ci import CiContract, CiWorld
from tests.fakes.gate import Gate
from tests.fakes.jenkins import TOKEN, USER, FakeJenkins
from tests.fakes.stub_http import sha

LIMITS = Limits(connect_timeout_s=2, read_timeout_s=2, deadline_s=3, retries=0)
CASES = [
    {"className": "tests.test_book", "name": "test_depth", "status": "REGRESSION", "duration": 0.5, "errorDetails": "assert 3 == 4"},
    {"className": "tests.test_book", "name": "test_price", "status": "PASSED", "duration": 0.1, "errorDetails": None},
]


@pytest.fixture
def jenkins() -> Iterator[FakeJenkins]:
    with FakeJenkins().running() as stub:
        yield stub


class TestCi(CiContract):
    @pytest.fixture(params=["keys in parameters", "no parameters", "no stages"])
    def world(self, request: pytest.FixtureRequest, jenkins: FakeJenkins) -> Iterator[CiWorld]:
        job = jenkins.job("venue/gateway", () if request.param == "no parameters" else ("VERSION", "RELEASE_COCKPIT_KEY"))
        red = jenkins.build(job, "UNSTABLE", sha("one"), version="1.0.0")
        green = jenkins.build(job, "SUCCESS", sha("two"))
        last = jenkins.build(job, "SUCCESS", sha("three"), version="" if request.param == "no parameters" else "1.10.0")
        suite = "unit"
        if request.param == "no stages":
            job.stages, suite = None, "build"
        else:
            jenkins.stage(job, red, "unit", "UNSTABLE")
            jenkins.stage(job, red, "deploy", "NOT_EXECUTED")
        jenkins.report(job, red, "unit", CASES)
        job.logs[red["number"]] = "x" * 300_000 + "\r\n\x1b[31mthe price is no number\x1b[0m\r\n"
        jenkins.job("venue/empty")
        many = jenkins.job("venue/many")
        for number in range(120):
            jenkins.build(many, "SUCCESS", sha(str(number)))
        with Gate(jenkins.port) as gate:
            client = HttpClient(gate.url, name="Jenkins", token=lambda: TOKEN, user=USER, limits=LIMITS)
            connector = Jenkins(client, Options(job="venue/{service}"))
            yield CiWorld(
                connector=connector,
                secret=TOKEN,
                deadline_s=8,
                identity=USER,
                shared=True,
                service="gateway",
                run_ids=tuple(f"gateway:{build['number']}" for build in (last, green, red)),
                commits={"gateway:1": sha("one"), "gateway:2": sha("two"), "gateway:3": sha("three")},
                moments={f"gateway:{b['number']}": (b["timestamp"] * 1000, (b["timestamp"] + 5000) * 1000) for b in (red, green, last)},
                failed=("gateway:1", suite, "test_depth"),
                log=("gateway:1", suite, "the price is no number"),
                empty="empty",
                unknown_service="nobody",
                many=("many", tuple(f"many:{number}" for number in range(120, 0, -1))),
                again="gateway:3",
                forbid=gate.forbid,
                cut=gate.cut,
                hang=gate.hang,
                lose=gate.lose,
                heal=gate.heal,
            )
            connector.close()
