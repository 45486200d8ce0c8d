"""What is Jenkins' own in the Jenkins connector; the contract suite is in tests/contract/test_contract_jenkins.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.connectors import jenkins_runs, jenkins_wire
from cockpit.connectors.http import HttpClient, Limits
from cockpit.connectors.jenkins import Jenkins, Options
from cockpit.domain.checks import CheckState
from cockpit.domain.errors import AuthFailed, NotFound, Rejected
from tests.fakes.fuzz import BODIES, parsers, understood_or_bad, wrong
from tests.fakes.jenkins import TOKEN, USER, FakeJenkins, Job
from tests.fakes.stub_http import sha

LIMITS = Limits(connect_timeout_s=2, read_timeout_s=2, deadline_s=3, retries=0)
CASE = {"className": "tests.test_book", "name": "test_depth", "status": "FAILED", "duration": 0.5, "errorStackTrace": "at line\x1b[0m 3"}
Connect = Callable[..., Jenkins]


@pytest.fixture
def jenkins() -> Iterator[FakeJenkins]:
    with FakeJenkins().running() as stub:
        yield stub


@pytest.fixture
def job(jenkins: FakeJenkins) -> Job:
    return jenkins.job("venue/gateway")


@pytest.fixture
def connect(jenkins: FakeJenkins) -> Iterator[Connect]:
    made = []

    def one(token: str = TOKEN, **named: str) -> Jenkins:
        client = HttpClient(jenkins.url, name="Jenkins", token=lambda: token, user=USER, limits=LIMITS)
        made.append(Jenkins(client, Options(**{"job": "venue/{service}", **named})))
        return made[-1]

    yield one
    for connector in made:
        connector.close()


GOOD_JOB: dict[str, Any] = {
    "inQueue": False,
    "nextBuildNumber": 8,
    "property": [{}, {"parameterDefinitions": [{"name": "VERSION"}]}],
    "builds": [
        {
            "number": 7,
            "url": "https://jenkins.playground.invalid/job/x/7/",
            "queueId": 70,
            "result": "SUCCESS",
            "building": False,
            "timestamp": 1_790_000_000_000,
            "duration": 5000,
            "actions": [
                {},
                {"parameters": [{"name": "VERSION", "value": "1.0.0"}]},
                {"lastBuiltRevision": {"SHA1": "a" * 40, "branch": [{"name": "refs/tags/v1.0.0"}]}, "remoteUrls": ["x"]},
                {"totalCount": 3, "failCount": 1, "skipCount": 0, "urlName": "testReport"},
            ],
        }
    ],
}


@settings(max_examples=150, deadline=None)
@given(body=BODIES, data=st.data())
def test_any_body_is_understood_or_bad(body: bytes, data: st.DataObject) -> None:
    for parse in parsers(jenkins_wire):
        understood_or_bad(parse, body)

    def whole(answer: bytes) -> None:
        for build in jenkins_wire.parse_job(answer).builds or ():
            suites = jenkins_runs.suites_of(build, ())
            jenkins_runs.run_of("x:1", "x", build, suites, Options())

    understood_or_bad(whole, data.draw(wrong(GOOD_JOB)))


def test_a_build_runs_again_with_its_parameters_and_the_key(jenkins: FakeJenkins, job: Job, connect: Connect) -> None:
    jenkins.build(job, "FAILURE", sha("one"), version="1.0.0")
    connector = connect()
    waits = connector.rerun("gateway:1", "key1")
    assert (waits.id, waits.state, waits.commit, waits.version) == ("gateway:kkey1", CheckState.PENDING, sha("one"), "1.0.0")
    told = {p["name"]: p["value"] for p in jenkins.queue[0]["actions"][0]["parameters"]}
    assert told == {"VERSION": "1.0.0", "RELEASE_COCKPIT_KEY": "key1"}
    assert connect().rerun("gateway:1", "key1").id == "gateway:kkey1"
    assert sum(asked.endswith("/buildWithParameters") for asked in jenkins.asked) == 1


def test_what_waits_is_shown_and_can_be_taken_out(jenkins: FakeJenkins, job: Job, connect: Connect) -> None:
    jenkins.lazy = 1000
    jenkins.build(job, "FAILURE", sha("one"), version="1.0.0")
    connector = connect()
    waits = connector.rerun("gateway:1", "key1")
    assert [(run.id, run.state) for run in connector.runs("gateway")] == [
        ("gateway:kkey1", CheckState.PENDING),
        ("gateway:1", CheckState.FAILED),
    ]
    with pytest.raises(NotFound):
        connector.log(waits.id, "build")
    assert connector.stop(waits.id).state is CheckState.INCONCLUSIVE
    assert jenkins.queue == []
    assert connector.stop(waits.id) == connector.run(waits.id)


def test_a_secret_parameter_cannot_be_repeated(jenkins: FakeJenkins, job: Job, connect: Connect) -> None:
    build = jenkins.build(job, "FAILURE", sha("one"))
    build["actions"].append({"parameters": [{"_class": "hudson.model.PasswordParameterValue", "name": "PASSWORD"}]})
    with pytest.raises(Rejected, match="PASSWORD"):
        connect().rerun("gateway:1", "key1")
    assert jenkins.queue == []


def test_crumbs_go_with_their_session_and_none_is_needed_where_there_is_none(jenkins: FakeJenkins, job: Job, connect: Connect) -> None:
    build = jenkins.build(job, None, sha("one"))
    assert connect().stop("gateway:1").state is CheckState.INCONCLUSIVE
    build |= {"building": True, "result": None}
    jenkins.crumbs = False
    assert connect().stop("gateway:1").state is CheckState.INCONCLUSIVE


def test_stages_are_suites_and_tests_belong_to_theirs(jenkins: FakeJenkins, job: Job, connect: Connect) -> None:
    build = jenkins.build(job, None, sha("one"))
    words = ("SUCCESS", "UNSTABLE", "FAILED", "IN_PROGRESS", "PAUSED_PENDING_INPUT", "NOT_EXECUTED", "ODD")
    for word in words:
        jenkins.stage(job, build, word.lower(), word)
    states = [suite.state for suite in connect().run("gateway:1").suites]
    wanted = (CheckState.PASSED, CheckState.FAILED, CheckState.FAILED, CheckState.RUNNING, CheckState.PENDING, CheckState.PENDING)
    assert tuple(states[:-1]) == wanted
    build |= {"building": False, "result": "UNSTABLE"}
    jenkins.report(job, build, "unstable", [CASE, CASE | {"name": "test_skip", "status": "SKIPPED"}])
    job.reports[build["number"]].append({"name": "elsewhere", "enclosingBlockNames": [], "cases": [CASE | {"status": "PASSED"}]})
    run = connect().run("gateway:1")
    by_name = {suite.name: suite for suite in run.suites}
    assert (by_name["unstable"].failed, by_name["unstable"].skipped, by_name["tests"].passed) == (1, 1, 1)
    assert by_name["not_executed"].state is CheckState.INCONCLUSIVE
    assert run.failures[0][1].message == "at line\ufffd[0m 3"
    short = connect().runs("gateway")[0]
    assert [(s.name, len(s.tests)) for s in short.suites if s.tests] == [("unstable", 1)]


def test_a_job_without_stages_is_one_suite_with_the_counts(jenkins: FakeJenkins, job: Job, connect: Connect) -> None:
    job.stages = None
    build = jenkins.build(job, "SUCCESS", sha("one"))
    jenkins.report(job, build, "", [CASE | {"status": "PASSED"}] * 3)
    connector = connect()
    first = connector.runs("gateway")
    assert [(s.name, s.state, s.total, s.passed) for s in first[0].suites] == [("build", CheckState.PASSED, 3, 3)]
    before = len(jenkins.asked)
    assert connector.runs("gateway") == first
    assert len(jenkins.asked) - before == 1  # one question for all builds, and none for what has ended
    jenkins.build(job, "SUCCESS", sha("two"))
    connector.runs("gateway")
    assert not jenkins.asked[-1].endswith("/wfapi/describe")


def test_which_commit_a_build_is_of(jenkins: FakeJenkins, job: Job, connect: Connect) -> None:
    build = jenkins.build(job, "SUCCESS", sha("product"), version="1.2.0")
    library = {"lastBuiltRevision": {"SHA1": sha("library"), "branch": []}, "remoteUrls": ["https://git.playground.invalid/library.git"]}
    build["actions"].insert(0, library)
    broke = jenkins.build(job, "FAILURE", sha("gone"))
    given = {"VERSION": "1.3.0", "SHA": sha("named"), "N": 3}
    broke["actions"] = [{"parameters": [{"name": name, "value": value} for name, value in given.items()]}]
    assert [run.commit for run in connect(repository="venue.git").runs("gateway")] == [sha("product")]
    assert [run.commit for run in connect(repository="venue.git", commit_parameter="SHA").runs("gateway")] == [sha("named"), sha("product")]
    tagged = jenkins.build(job, "SUCCESS", sha("tagged"))
    tagged["actions"][-1]["lastBuiltRevision"]["branch"] = [{"name": "refs/tags/v2.0.0"}]
    assert connect().runs("gateway")[0].version == "2.0.0"


@pytest.mark.parametrize("place", ["venue/{service}", "/job/venue/job/{service}/", "job/venue/job/{service}"])
def test_places_of_jobs(jenkins: FakeJenkins, job: Job, connect: Connect, place: str) -> None:
    jenkins.build(job, "SUCCESS", sha("one"))
    assert [run.id for run in connect(job=place).runs("gateway")] == ["gateway:1"]
    for odd in ("..", "x/..", "\x00"):
        with pytest.raises(NotFound):
            connect(job=place).runs(odd)


def test_who_asks(jenkins: FakeJenkins, connect: Connect) -> None:
    assert (connect().probe().reached, connect().probe().identity, connect().probe().missing) == ("Jenkins 2.479.1", USER, ())
    jenkins.anonymous = True
    assert connect().probe().missing
    with pytest.raises(AuthFailed) as caught:
        connect(token="wrong-canary").probe()
    assert "wrong-canary" not in repr(caught.value.__dict__)
