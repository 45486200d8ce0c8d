"""What is GitLab's own in the GitLab connector; the contract suite is in tests/contract/test_contract_gitlab.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.connectors import forge_text, gitlab_wire, gitlab_wire_ci
from cockpit.connectors.gitlab import Gitlab, Options
from cockpit.connectors.gitlab_deployed import deployment_of, fleet_of, pending_of
from cockpit.connectors.gitlab_source import _tag
from cockpit.connectors.http import HttpClient, Limits
from cockpit.connectors.ports import DeployRequest
from cockpit.domain.checks import CheckState
from cockpit.domain.errors import AuthFailed, BadPayload, NotFound, OutcomeUnknown, RateLimited, Rejected
from cockpit.domain.release import DeployState, Service, Version
from tests.fakes.fuzz import BODIES, parsers, understood_or_bad, wrong
from tests.fakes.gitlab import TOKEN, FakeGitlab, Project
from tests.fakes.stub_http import START_S, US, Asked, Refused, iso

LIMITS = Limits(connect_timeout_s=2, read_timeout_s=2, deadline_s=3, retries=0)
SERVICE = "gateway"
WHO = "rae@playground.invalid"
Connect = Callable[..., Gitlab]


@pytest.fixture
def gitlab() -> Iterator[FakeGitlab]:
    with FakeGitlab().running() as stub:
        yield stub


@pytest.fixture
def project(gitlab: FakeGitlab) -> Project:
    made = gitlab.project(f"venue/{SERVICE}")
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        made.repository.add(
            f"work for {version}", body="Co-authored-by: Cyd <cyd@playground.invalid>\nRollback: one-way", files=(f"src/{version}.py",)
        )
        made.repository.tag(f"v{version}", made.repository.last)
    return made


@pytest.fixture
def connect(gitlab: FakeGitlab) -> Iterator[Connect]:
    made = []

    def one(token: str = TOKEN, **named: str) -> Gitlab:
        options = Options(**{"project": "venue/{service}", **named})
        made.append(Gitlab(HttpClient(gitlab.url, name="GitLab", token=lambda: token, limits=LIMITS), options))
        return made[-1]

    yield one
    for connector in made:
        connector.close()


def request(project: Project, version: str, kind: str = "deploy", **more: Any) -> DeployRequest:
    commit = project.repository.resolve(f"v{version}")
    return DeployRequest(SERVICE, "production", version, f"git:{commit}", kind, WHO, "because", **more)


PARSERS = [*parsers(gitlab_wire), *parsers(gitlab_wire_ci)]


@settings(max_examples=150, deadline=None)
@given(body=BODIES)
def test_any_body_is_understood_or_bad(body: bytes) -> None:
    for parse in PARSERS:
        understood_or_bad(parse, body)


GOOD_DEPLOYMENT: dict[str, Any] = {
    "id": 1,
    "ref": "v1.0.0",
    "sha": "a" * 40,
    "status": "success",
    "created_at": "2026-11-01T10:00:00.000+02:00",
    "updated_at": "2026-11-01T08:05:00.000Z",
    "environment": {"id": 1, "name": "production", "external_url": None},
    "user": {"id": 1, "username": "root", "name": "Administrator"},
    "deployable": {
        "id": 2,
        "name": "deploy",
        "status": "success",
        "started_at": None,
        "finished_at": None,
        "pipeline": {"id": 3, "sha": "a" * 40, "ref": "v1.0.0", "status": "success", "source": "push", "created_at": None},
    },
}


GOOD_PIPELINE = GOOD_DEPLOYMENT["deployable"]["pipeline"] | {"web_url": "https://gitlab.playground.invalid/1", "updated_at": None}
GOOD_TAG = {"name": "v1.0.0", "target": "a" * 40, "commit": {"id": "a" * 40, "title": "x", "message": "x", "committed_date": None}}


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_wrong_values_come_out_as_bad_or_as_harmless(data: st.DataObject) -> None:
    deployments = data.draw(wrong([GOOD_DEPLOYMENT]))
    named = Options(project="venue/{service}")

    def whole(body: bytes) -> None:
        found = [deployment_of(SERVICE, "production", wire, {}, named) for wire in gitlab_wire_ci.parse_deployments(body)]
        fleet_of(SERVICE, "production", gitlab_wire_ci.parse_deployments(body), found, named)

    def tags(body: bytes) -> None:
        forge_text.versions((_tag(tag) for tag in gitlab_wire.parse_tags(body) if tag.commit), Service(SERVICE), "")

    def pending(body: bytes) -> None:
        pending_of(SERVICE, "production", gitlab_wire_ci.parse_pipeline(body), {}, named)

    understood_or_bad(whole, deployments)
    understood_or_bad(tags, data.draw(wrong([GOOD_TAG])))
    understood_or_bad(pending, data.draw(wrong(GOOD_PIPELINE)))


def test_commits_have_their_trailers_and_files_each_asked_for_once(gitlab: FakeGitlab, project: Project, connect: Connect) -> None:
    connector = connect()
    found = connector.changes(Service(SERVICE), "v1.0.0", "v1.2.0")
    assert [c.subject for c in found.commits] == ["work for 1.2.0", "work for 1.1.0"]
    assert found.commits[0].co_authors == ("Cyd <cyd@playground.invalid>",)
    assert found.commits[0].rollback == "one-way"
    assert found.files == ("src/1.1.0.py", "src/1.2.0.py")
    assert found.authors == {"ada@playground.invalid", "cyd@playground.invalid"}
    assert found.commits[0].at_us == (START_S + 2 * 3600) * US
    assert connector.changes(Service(SERVICE), "v1.0.0", "v1.2.0") == found
    assert sum(asked.endswith("/diff") for asked in gitlab.asked) == 2


def test_only_commits_of_the_path_and_long_ways_with_the_files_of_all(project: Project, connect: Connect) -> None:
    for number in range(30):
        project.repository.add(f"change {number}", files=(f"services/gateway/{number}.py",) if number % 2 else ("other/file.py",))
    found = connect().changes(Service(SERVICE, path="services/gateway"), "v1.2.0", "main")
    assert found.total_in == 15
    whole = connect().changes(Service(SERVICE), "v1.2.0", "main", 25)
    assert (whole.total_in, len(whole.commits)) == (30, 25)
    assert len(whole.files) == 16
    assert whole.people == ("ada@playground.invalid",)


def test_an_idle_poll_is_answered_from_what_is_known(gitlab: FakeGitlab, project: Project, connect: Connect) -> None:
    pipeline = gitlab.pipeline(project, "v1.2.0", "success")
    gitlab.job(project, pipeline, "unit", "success")
    gitlab.deploy(project, "production", "v1.1.0", "success")
    connector = connect()

    def poll() -> tuple[Any, ...]:
        return connector.fingerprint(), connector.runs(SERVICE), connector.fleet(SERVICE, "production"), connector.artifacts(SERVICE)

    poll()
    poll()
    before = len(gitlab.asked)
    first, again = poll(), poll()
    assert first == again
    assert len(gitlab.asked) - before == 8  # one conditional request a question, and the history needs none of its own
    connector.history(SERVICE, "production")
    assert gitlab.asked[-1].endswith("/deployments")


def test_what_gitlab_still_allows_is_kept_for_people(gitlab: FakeGitlab, project: Project, connect: Connect) -> None:
    gitlab.left = 100  # of 2000 a minute: the last twentieth is not for polls
    connector = connect()
    connector.versions(Service(SERVICE))
    with pytest.raises(RateLimited):
        connector.versions(Service(SERVICE))


def test_a_deployment_is_a_pipeline_with_its_key_and_no_test_run(gitlab: FakeGitlab, project: Project, connect: Connect) -> None:
    tests = gitlab.pipeline(project, "v1.2.0", "success")
    gitlab.job(project, tests, "unit", "success")
    connector = connect()
    begun = connector.deploy(request(project, "1.2.0"), "key1")
    assert (begun.state, begun.key, begun.steps[0].state) == (DeployState.QUEUED, "key1", "pending")
    number = int(begun.id[1:].split(":")[0])
    assert project.variables[number]["RELEASE_COCKPIT_KEY"] == "key1"
    assert project.variables[number]["RELEASE_COCKPIT_REQUESTED_BY"] == WHO
    assert [run.id for run in connector.runs(SERVICE)] == [f"{SERVICE}:{tests['id']}"]
    gitlab.advance()
    fleet = connector.fleet(SERVICE, "production")
    assert fleet.active is not None
    assert (fleet.active.id, fleet.active.state, fleet.nodes) == (begun.id, DeployState.RUNNING, ())


def test_another_process_finds_the_deployment_by_its_key(project: Project, connect: Connect) -> None:
    begun = connect().deploy(request(project, "1.2.0"), "key1")
    found = connect().find("key1")
    assert found is not None
    assert (found.id, found.version, found.requested_by, found.reason) == (begun.id, "1.2.0", WHO, "because")
    assert connect().deploy(request(project, "1.2.0"), "key1").id == begun.id
    assert len(project.pipelines) == 1
    with pytest.raises(Rejected):
        connect().deploy(request(project, "1.1.0"), "key1")


def test_a_hidden_key_is_not_taken_for_none(gitlab: FakeGitlab, project: Project, connect: Connect) -> None:
    connect().deploy(request(project, "1.2.0"), "key1")
    gitlab.variables_hidden = True
    other = connect()
    with pytest.raises(AuthFailed, match="1 pipelines are hidden"):
        other.find("key1")
    other.deploy(request(project, "1.1.0"), "key2")
    assert len(project.pipelines) == 2, "what others started does not keep a new one from being started"


def test_gitlabs_refusal_is_told_in_its_words(gitlab: FakeGitlab, project: Project, connect: Connect) -> None:
    gitlab.variables_allowed = False
    with pytest.raises(Rejected, match="Insufficient permissions to set pipeline variables"):
        connect().deploy(request(project, "1.2.0"), "key1")
    assert connect().find("key1") is None


def test_a_tag_that_moved_is_not_deployed(project: Project, connect: Connect) -> None:
    asked = request(project, "1.2.0")
    project.repository.tags[-1]["commit"] = project.repository.add("moved")
    with pytest.raises(Rejected):
        connect().deploy(asked, "key1")
    with pytest.raises(Rejected):
        connect().deploy(request(project, "1.1.0", nodes=("node-1",)), "key2")
    assert project.pipelines == []


def test_an_environment_after_a_failure_is_not_said_to_be_healthy(gitlab: FakeGitlab, project: Project, connect: Connect) -> None:
    gitlab.deploy(project, "production", "v1.0.0", "success")
    node = connect().fleet(SERVICE, "production").nodes[0]
    assert (node.version, node.healthy, node.digest) == ("1.0.0", True, "git:" + project.repository.resolve("v1.0.0"))
    for _ in range(60):
        gitlab.deploy(project, "production", "v1.1.0", "failed")
    node = connect().fleet(SERVICE, "production").nodes[0]
    assert (node.version, node.healthy) == ("1.0.0", None)
    assert connect().fleet(SERVICE, "staging").nodes == ()


def test_a_pipeline_that_deploys_nothing_has_failed(project: Project, connect: Connect) -> None:
    connector = connect()
    begun = connector.deploy(request(project, "1.2.0"), "key1")
    project.pipelines[0]["status"] = "manual"
    assert "manual job" in connector.deployment(begun.id).message
    project.pipelines[0]["status"] = "success"
    ended = connector.deployment(begun.id)
    assert (ended.state, ended.steps[0].state) == (DeployState.FAILED, "failed")
    assert "deployed nothing" in ended.message


def test_abort_cancels_the_pipeline_or_the_job(gitlab: FakeGitlab, project: Project, connect: Connect) -> None:
    connector = connect()
    begun = connector.deploy(request(project, "1.2.0", "rollback"), "key1")
    gitlab.advance()
    aborted = connector.abort(begun.id)
    assert (aborted.state, aborted.kind, aborted.id) == (DeployState.ABORTED, "rollback", begun.id)
    other = gitlab.deploy(project, "production", "v1.1.0", "running")
    assert connector.abort(f"d{other['id']}:{SERVICE}:production").state is DeployState.ABORTED
    gitlab.deploy(project, "production", "v1.1.0", "odd")
    with pytest.raises(BadPayload, match="odd"):
        connector.history(SERVICE, "production")


def test_what_failed_is_retried_in_place_once_for_a_key(gitlab: FakeGitlab, project: Project, connect: Connect) -> None:
    red = gitlab.pipeline(project, "v1.2.0", "failed")
    gitlab.job(project, red, "unit", "failed", failure_reason="script_failure")
    gitlab.job(project, red, "lint", "success")
    connector = connect()
    run_id = f"{SERVICE}:{red['id']}"
    assert connector.run(run_id).state is CheckState.FAILED
    again = connector.rerun(run_id, "key1")
    assert (again.id, again.state) == (run_id, CheckState.PENDING)
    red["status"] = project.jobs[red["id"]][1]["status"] = "failed"
    assert connector.rerun(run_id, "key1").state is CheckState.FAILED
    assert sum(asked.endswith("/retry") for asked in gitlab.asked) == 1


def test_a_retry_that_was_refused_may_be_asked_for_again_with_its_key(gitlab: FakeGitlab, project: Project, connect: Connect) -> None:
    red = gitlab.pipeline(project, "v1.2.0", "failed")
    gitlab.job(project, red, "unit", "failed", failure_reason="script_failure")
    connector, run_id = connect(), f"{SERVICE}:{red['id']}"
    works = list(gitlab.routes)
    gitlab.routes = [route for route in works if not route[1].pattern.endswith("/retry")]
    with pytest.raises(NotFound):
        connector.rerun(run_id, "key1")
    gitlab.routes = works
    assert connector.rerun(run_id, "key1").state is CheckState.PENDING


def test_states_that_are_neither_passed_nor_failed(gitlab: FakeGitlab, project: Project, connect: Connect) -> None:
    waits = gitlab.pipeline(project, "v1.0.0", "manual")
    gitlab.job(project, waits, "unit", "success")
    gitlab.job(project, waits, "deploy", "manual")
    broke = gitlab.pipeline(project, "v1.1.0", "failed")
    gitlab.job(project, broke, "unit", "failed", failure_reason="runner_system_failure")
    gitlab.job(project, broke, "later", "skipped")
    odd = gitlab.pipeline(project, "v1.2.0", "vanished")
    gitlab.job(project, odd, "unit", "vanished")
    states = {run.version: (run.state, [suite.state for suite in run.suites]) for run in connect().runs(SERVICE)}
    assert states == {
        "1.0.0": (CheckState.PASSED, [CheckState.PASSED]),
        "1.1.0": (CheckState.ERROR, [CheckState.ERROR, CheckState.INCONCLUSIVE]),
        "1.2.0": (CheckState.INCONCLUSIVE, [CheckState.INCONCLUSIVE]),
    }


def test_several_services_in_one_project(gitlab: FakeGitlab, connect: Connect) -> None:
    made = gitlab.project("venue/all")
    for name in ("gateway", "ledger"):
        made.repository.tag(f"{name}/v1.0.0", made.repository.add(f"work on {name}"))
        gitlab.pipeline(made, f"{name}/v1.0.0", "success")
        gitlab.deploy(made, "production", f"{name}/v1.0.0", "success")
    connector = connect(project="venue/all", tag_pattern="{service}/v{version}")
    for name in ("gateway", "ledger"):
        assert [(v.name, v.tag) for v in connector.versions(Service(name))] == [("1.0.0", f"{name}/v1.0.0")]
        assert {run.commit for run in connector.runs(name)} == {made.repository.resolve(f"{name}/v1.0.0")}
        assert connector.fleet(name, "production").nodes[0].commit == made.repository.resolve(f"{name}/v1.0.0")


def test_environments_may_have_other_names_there(gitlab: FakeGitlab, project: Project, connect: Connect) -> None:
    gitlab.deploy(project, "gateway-production", "v1.1.0", "success")
    waits = gitlab.deploy(project, "gateway-production", "v1.2.0", "blocked")
    connector = connect(environments="{service}-{environment}")
    assert connector.fleet(SERVICE, "production").nodes[0].name == "production"
    assert connector.fleet(SERVICE, "production").active is not None
    assert [(g.id, g.environment, g.version) for g in connector.gates(SERVICE)] == [(str(waits["id"]), "production", "1.2.0")]


def words(gitlab: FakeGitlab, project: Project, connect: Connect, **named: str) -> dict[str, tuple[str, str]]:
    """who -> (commit, why not) of the reviews of 1.2.0."""
    version = Version(SERVICE, "1.2.0", "v1.2.0", project.repository.resolve("v1.2.0"), START_S * US)
    return {a.who: (a.commit, a.why_not) for a in connect(**named).reviews(Service(SERVICE), (version,))}


def test_an_approval_before_the_last_push_is_of_what_was_there(gitlab: FakeGitlab, project: Project, connect: Connect) -> None:
    merged = project.repository.resolve("v1.2.0")
    early, late = (project.repository.add(name, parent="") for name in ("early", "late"))
    gitlab.request(project, 4, [early, late], merge=merged, author=1)
    project.approvals[4] = [(1, START_S + 720_000), (2, None)]  # an older GitLab tells no moments: nothing newer may be assumed
    found = words(gitlab, project, connect)
    assert found["root@playground.invalid"] == (merged, "they opened the merge request themselves")
    assert found["bob@playground.invalid"] == (early, "")
    assert set(words(gitlab, project, connect, email="{username}@venue.invalid")) == {"root@venue.invalid", "bob@venue.invalid"}


def test_merged_requests_are_read_once(gitlab: FakeGitlab, project: Project, connect: Connect) -> None:
    merged = project.repository.resolve("v1.2.0")
    gitlab.request(project, 4, [project.repository.add("work", parent="")], merge=merged)
    gitlab.request(project, 5, [project.repository.add("more", parent="")], merge=merged, state="closed")
    project.approvals[4] = [(2, START_S + 720_000)]
    connector = connect()
    version = Version(SERVICE, "1.2.0", "v1.2.0", merged, START_S * US)
    first = connector.reviews(Service(SERVICE), (version,))
    before = len(gitlab.asked)
    assert connector.reviews(Service(SERVICE), (version,)) == first
    assert len(gitlab.asked) - before == 1


def test_the_probe_tells_what_the_token_lacks(gitlab: FakeGitlab, connect: Connect) -> None:
    assert connect().probe().missing == ()
    gitlab.scopes = ["read_api"]
    probe = connect().probe()
    assert (probe.reached, probe.identity) == ("GitLab 17.5.1-ee", "root")
    assert "scope api" in probe.missing[0]
    gitlab.scopes = None
    assert connect().probe().missing == ()


@pytest.mark.parametrize(
    "odd", ["d1:gateway", "x1:gateway:production", "p1e3:gateway:production", "p1::production", "d١:gateway:production"]
)
def test_ids_of_another_form_are_not_sent(gitlab: FakeGitlab, connect: Connect, odd: str) -> None:
    with pytest.raises(NotFound):
        connect().deployment(odd)
    assert gitlab.asked == []


def test_moments_are_the_same_in_every_zone() -> None:
    moment_us = forge_text.moment_us
    assert moment_us("2026-11-22T10:00:00+02:00") == moment_us("2026-11-22T08:00:00Z") == moment_us("2026-11-22T08:00:00.000000000Z")
    assert moment_us(iso(START_S)) == START_S * US
    assert (moment_us(None), moment_us("0001-01-01T00:00:00Z")) == (0, 0)
    for odd in ("2026-11-22T10:00:00", "yesterday", "9" * 50):
        with pytest.raises(BadPayload):
            moment_us(odd)


def test_what_was_begun_and_cannot_be_read_was_begun(gitlab: FakeGitlab, project: Project, connect: Connect, monkeypatch: Any) -> None:
    """Unreachable would say that nothing was sent, and somebody would send it again with another key."""
    written: list[str] = []
    check = gitlab.check

    def only_writes(asked: Asked) -> None:
        check(asked)
        if asked.method == "POST":
            written.append(asked.path)
        elif written:
            raise Refused(503, {"message": "busy"})

    connector = connect()
    gitlab.deploy(project, "production", "v1.0.0", "success")
    monkeypatch.setattr(gitlab, "check", only_writes)
    begun = connector.deploy(request(project, "1.1.0"), "k1")
    assert (begun.key, begun.version, begun.state.final) == ("k1", "1.1.0", False)
    monkeypatch.setattr(gitlab, "check", check)
    written.clear()
    assert connector.find("k1") is not None
    monkeypatch.setattr(gitlab, "check", only_writes)
    with pytest.raises(OutcomeUnknown, match="did as asked"):
        connector.abort(begun.id)
    assert len(written) == 1
