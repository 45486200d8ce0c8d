"""The GitHub connector where its ports' contracts do not reach: what it counts as safe, as asked, and as known."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.connectors import registry
from cockpit.connectors.github import Github
from cockpit.connectors.github_api import Names
from cockpit.connectors.http import Limits
from cockpit.connectors.ports import DeployRequest
from cockpit.domain.checks import CheckState
from cockpit.domain.errors import AuthFailed, BadPayload, ConfigError, NotFound, OutcomeUnknown, RateLimited, Rejected
from cockpit.domain.release import DeployState, Service, Version
from tests.fakes import github as fake
from tests.fakes.github_repository import Repository
from tests.fakes.github_spec import specification

QUICK = Limits(connect_timeout_s=1.0, read_timeout_s=0.5, deadline_s=2.0, retries=0)
WHO = "you@playground.invalid"
RUN_NAME = "run-name: ${{ inputs.kind }} ${{ inputs.service }} ${{ inputs.version }} ${{ inputs.environment }} ${{ inputs.key }}\n"


@pytest.fixture
def git() -> Iterator[fake.Github]:
    made = fake.Github()
    yield made
    made.close()
    specification().check(made.requests)


@pytest.fixture
def connect(git: fake.Github) -> Iterator[Any]:
    made: list[Github] = []

    def connect(token: str = fake.TOKEN, url: str = "", **names: str) -> Github:
        wanted = Names(**{"repository": "acme/{service}", **names})
        made.append(Github(url or git.url, wanted, lambda: token, limits=QUICK))
        return made[-1]

    yield connect
    for each in made:
        each.close()


def asked(git: fake.Github, begin: int, part: str) -> list[fake.Recorded]:
    return [request for request in git.requests[begin:] if part in request.path]


def request_of(repository: Repository, tag: str, kind: str = "deploy") -> DeployRequest:
    digest = f"git:{repository.tags[tag]}"
    return DeployRequest("gateway", "production", tag.removeprefix("v"), digest, kind, WHO, "why", ())


def with_versions(git: fake.Github) -> Repository:
    repository = git.add("acme/gateway")
    for number in (1, 2):
        repository.tags[f"v1.{number}.0"] = repository.commit(f"Release {number}")
    made = repository.deployment("v1.1.0", "production", created_s=time.time() - 100)
    repository.status(made, "success", created_s=time.time() - 90)
    return repository


# versions and commits


def test_only_what_is_new_is_asked_for_again(git: fake.Github, connect: Any) -> None:
    with_versions(git)
    connector = connect()
    connector.versions(Service("gateway"))
    begin = len(git.requests)
    connector.fingerprint()
    connector.versions(Service("gateway"))
    assert [(r.path, r.status) for r in git.requests[begin:]] == [("/repos/acme/gateway/tags", 304)]


def test_the_fingerprint_is_something_before_anything_was_asked(connect: Any) -> None:
    assert connect().fingerprint()


def test_tags_of_one_repository_with_many_services(git: fake.Github, connect: Any) -> None:
    repository = git.add("acme/mono")
    for tag in ("gateway/v1.0", "gateway/v1.1", "risk/v7.0"):
        repository.tags[tag] = repository.commit(tag)
    connector = connect(repository="acme/mono", tag_pattern="{service}/v{version}")
    assert [v.name for v in connector.versions(Service("gateway"))] == ["1.1", "1.0"]
    assert [a.version for a in connector.artifacts("risk")] == ["7.0"]
    assert [v.name for v in connector.versions(Service("risk", tag_pattern="risk/v{version}"))] == ["7.0"]


def test_commits_of_a_path_and_their_files(git: fake.Github, connect: Any) -> None:
    repository = git.add("acme/mono")
    base = repository.commit("Begin")
    mine = repository.commit("Mine\n\nCo-authored-by: C <c@playground.invalid>", files=("services/gateway/a.py", "other/b.py"))
    repository.commit("Theirs", files=("services/gateway2/a.py",))
    head = repository.commit("Mine too", files=("services/gateway/c.py",))
    found = connect(repository="acme/mono").changes(Service("gateway", path="services/gateway"), base, head)
    assert [c.id for c in found.commits] == [head, mine]
    assert (found.total_in, found.total_out) == (2, 0)
    assert found.files == ("services/gateway/a.py", "services/gateway/c.py")
    assert found.authors == {"ada@playground.invalid", "c@playground.invalid"}


def test_more_commits_than_a_page_the_newest_first_with_all_their_people(git: fake.Github, connect: Any) -> None:
    repository = git.add("acme/gateway")
    base = repository.commit("Begin")
    for number in range(250):
        repository.commit(f"{number}", login="eve" if number == 3 else "ada")
    found = connect().changes(Service("gateway"), base, repository.main[-1], 20)
    assert [c.subject for c in found.commits] == [str(number) for number in range(249, 229, -1)]
    assert found.total_in == 250
    assert found.authors == {"ada@playground.invalid", "eve@playground.invalid"}


def test_two_branches_have_commits_that_leave(git: fake.Github, connect: Any) -> None:
    repository = git.add("acme/gateway")
    base = repository.commit("Begin")
    side = repository.commit("Side", parents=[base])
    main = repository.commit("Main", parents=[base])
    found = connect().changes(Service("gateway"), side, main)
    assert ([c.id for c in found.commits], [c.id for c in found.missing]) == ([main], [side])


# reviews


def reviewed(git: fake.Github, login: str = "bob", **more: Any) -> tuple[Repository, Version]:
    repository = git.add("acme/gateway")
    repository.commit("Begin")
    head = repository.commit("Work", parents=[repository.main[-1]], email="Ada@Corp.invalid")
    merge = repository.commit("Merge", login="eve")
    pull = repository.pull(head, merge)
    repository.review(pull, login, more.pop("state", "APPROVED"), head, **more)
    return repository, Version("gateway", "1.0", "v1.0", merge, 0)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, ""),
        ({"state": "DISMISSED"}, "dismissed in pull request"),
        ({"author_association": "NONE"}, "may not write"),
        ({"author_association": "CONTRIBUTOR"}, "may not write"),
        ({"type": "Bot"}, "given by a program"),
    ],
)
def test_whose_word_counts(git: fake.Github, connect: Any, more: dict[str, str], why: str) -> None:
    _, version = reviewed(git, **more)
    (approval,) = connect().reviews(Service("gateway"), (version,))
    assert why in approval.why_not
    assert bool(approval.why_not) == bool(why)
    assert (approval.approved, approval.commit, approval.environment) == (True, version.commit, "")


def test_an_author_has_the_address_of_the_commits(git: fake.Github, connect: Any) -> None:
    _, version = reviewed(git, "ada")
    (approval,) = connect().reviews(Service("gateway"), (version,))
    assert approval.who == "ada@corp.invalid", "else nobody could tell that it is the author's own"


def test_a_pull_request_that_was_not_merged_speaks_of_its_own_commit_alone(git: fake.Github, connect: Any) -> None:
    repository, version = reviewed(git)
    repository.pulls[0]["merged_s"] = 0
    (approval,) = connect().reviews(Service("gateway"), (version,))
    assert approval.commit == repository.pulls[0]["head"] != version.commit


# runs


def test_the_newest_run_of_a_commit_speaks_for_all_its_workflows(git: fake.Github, connect: Any) -> None:
    repository = with_versions(git)
    sha, now = repository.tags["v1.2.0"], time.time()
    failed = repository.run(sha, conclusion="failure", run_started_s=now - 500)
    repository.job(failed, "unit", "failure")
    passed = repository.run(sha, workflow_id=8, name="Lint", path=".github/workflows/lint.yml")
    repository.job(passed, "lint")
    first, second = connect().runs("gateway")
    assert first.id == f"gateway/{passed['id']}-1"
    assert (first.state, first.version) == (CheckState.FAILED, "1.2.0")
    assert [(s.name, s.state) for s in first.suites] == [("lint", CheckState.PASSED), ("CI", CheckState.FAILED)]
    assert second.state is CheckState.FAILED
    assert connect().run(first.id).state is CheckState.FAILED
    (alone,) = connect(workflow="lint.yml").runs("gateway")
    assert alone.state is CheckState.PASSED


def test_a_tag_that_is_new_does_not_hide_what_failed_on_the_branch_long_ago(git: fake.Github, connect: Any) -> None:
    repository = with_versions(git)
    sha, now = repository.tags["v1.2.0"], time.time()
    repository.run(sha, conclusion="failure", created_s=now - 9000, run_started_s=now - 9000)
    other = repository.commit("On the way")
    for number in range(120):
        repository.run(other, created_s=now - 8000 + number, run_started_s=now - 8000 + number)
    repository.run(sha, workflow_id=8, name="Release", path=".github/workflows/release.yml", head_branch="v1.2.0")
    connector = connect()
    newest = connector.runs("gateway")[0]
    assert (newest.commit, newest.state) == (sha, CheckState.FAILED)
    begin = len(git.requests)
    connector.runs("gateway")
    assert not asked(git, begin, "head_sha")


def test_the_log_is_fetched_without_the_token(git: fake.Github, connect: Any) -> None:
    repository = with_versions(git)
    run = repository.run(repository.tags["v1.2.0"])
    job = repository.job(run, "unit")
    connector = connect()
    assert connector.log(f"gateway/{run['id']}-1", "unit") == f"log of job {job['id']}\n\ufffd[31mred\n"
    git.store_url = "ftp://store.invalid"
    with pytest.raises(BadPayload, match="not safe to follow"):
        connector.log(f"gateway/{run['id']}-1", "unit")
    git.store_url = "http://user:word@store.invalid"
    with pytest.raises(BadPayload):
        connector.log(f"gateway/{run['id']}-1", "unit")


def test_jobs_of_what_has_ended_are_read_once(git: fake.Github, connect: Any) -> None:
    repository = with_versions(git)
    repository.job(repository.run(repository.tags["v1.2.0"]), "unit")
    going = repository.run(repository.main[-1], "in_progress", None)
    repository.job(going, "unit", None)
    connector = connect()
    connector.runs("gateway")
    begin = len(git.requests)
    connector.runs("gateway")
    assert [r.path for r in asked(git, begin, "/jobs")] == [f"/repos/acme/gateway/actions/runs/{going['id']}/attempts/1/jobs"]


def test_what_runs_is_not_run_again(git: fake.Github, connect: Any) -> None:
    repository = with_versions(git)
    going = repository.run(repository.main[-1], "in_progress", None)
    with pytest.raises(Rejected):
        connect().rerun(f"gateway/{going['id']}-1", "k")
    assert not [r for r in git.requests if r.method == "POST"]


# deployments


def test_after_a_failure_nobody_knows_what_runs(git: fake.Github, connect: Any) -> None:
    repository = with_versions(git)
    connector = connect()
    (node,) = connector.fleet("gateway", "production").nodes
    assert (node.version, node.digest, node.healthy) == ("1.1.0", f"git:{repository.tags['v1.1.0']}", True)
    repository.status(repository.deployment("v1.2.0", "production"), "failure")
    (node,) = connector.fleet("gateway", "production").nodes
    assert (node.version, node.healthy) == ("1.1.0", None)


def test_what_was_left_without_an_end_is_asked_for_seldom(git: fake.Github, connect: Any) -> None:
    repository = with_versions(git)
    repository.deployments.insert(0, repository.deployment("v1.2.0", "production", created_s=time.time() - 500))
    del repository.deployments[-1]
    connector = connect()
    for _ in range(3):
        assert [d.state for d in connector.history("gateway", "production")] == [DeployState.SUCCEEDED, DeployState.QUEUED]
        assert connector.fleet("gateway", "production").active is None
    assert len(asked(git, 0, "/statuses")) == 2


def test_after_one_that_failed_the_next_is_under_way_and_nobody_knows_yet(git: fake.Github, connect: Any) -> None:
    repository = with_versions(git)
    repository.status(repository.deployment("v1.2.0", "production"), "error")
    repository.deployment("v1.1.0", "production")
    fleet = connect().fleet("gateway", "production")
    assert fleet.active is not None
    assert fleet.nodes[0].healthy is None


def test_what_is_sent_and_what_comes_of_it(git: fake.Github, connect: Any) -> None:
    repository = with_versions(git)
    connector = connect()
    found = connector.deploy(request_of(repository, "v1.2.0", "rollback"), "k1")
    sent = git.requests[-1].body
    assert (sent["ref"], sent["auto_merge"], sent["required_contexts"]) == ("v1.2.0", False, [])
    assert sent["payload"]["key"] == "k1"
    assert (found.state, found.kind, found.requested_by, found.reason) == (DeployState.QUEUED, "rollback", WHO, "why")
    assert (found.from_version, found.from_digest) == ("1.1.0", f"git:{repository.tags['v1.1.0']}")
    assert connector.fleet("gateway", "production").active == found
    assert connect(repository="acme/gateway").find("k1") is not None, "who never asked for the service knows it too"
    with pytest.raises(Rejected):
        connector.deploy(request_of(repository, "v1.1.0"), "k1")


def test_a_tag_that_moved_is_deployed_by_its_commit(git: fake.Github, connect: Any) -> None:
    repository = with_versions(git)
    wanted = request_of(repository, "v1.2.0")
    repository.tags["v1.2.0"] = repository.commit("Moved")
    connect().deploy(wanted, "k1")
    assert git.requests[-1].body["ref"] == wanted.digest.removeprefix("git:")


@pytest.mark.parametrize("digest", ["", "git:", "sha256:1", f"git:{'0' * 40}"])
def test_what_is_no_commit_there_is_refused_here(git: fake.Github, connect: Any, digest: str) -> None:
    repository = with_versions(git)
    with pytest.raises(Rejected):
        connect().deploy(replace(request_of(repository, "v1.2.0"), digest=digest), "k1")
    assert not [r for r in git.requests if r.method == "POST"]


def test_single_nodes_and_unknown_environments_are_not_offered(git: fake.Github, connect: Any) -> None:
    repository = with_versions(git)
    wanted = request_of(repository, "v1.2.0")
    for odd in (replace(wanted, nodes=("n1",)), replace(wanted, environment="prodution")):
        with pytest.raises(NotFound):
            connect().deploy(odd, "k1")
    assert "prodution" not in repository.environments, "GitHub would have made it"


def test_aborting_cancels_the_run_behind_it(git: fake.Github, connect: Any) -> None:
    repository = with_versions(git)
    run = repository.run(repository.tags["v1.2.0"], "in_progress", None)
    made = repository.deployment("v1.2.0", "production")
    repository.status(made, "in_progress", log_url=f"https://github.invalid/acme/gateway/actions/runs/{run['id']}/job/9")
    assert connect().abort(f"gateway/{made['id']}").state is DeployState.ABORTED
    assert run["conclusion"] == "cancelled"


def test_deployments_of_other_services_in_one_repository_stay_apart(git: fake.Github, connect: Any) -> None:
    repository = git.add("acme/mono")
    for tag in ("gateway/v1.0", "risk/v7.0"):
        repository.tags[tag] = repository.commit(tag)
        repository.status(repository.deployment(tag, "production"), "success")
    connector = connect(repository="acme/mono")
    assert [d.version for d in connector.history("gateway", "production")] == ["1.0"]
    assert [n.version for n in connector.fleet("risk", "production").nodes] == ["7.0"]


def test_a_prefix_that_the_pattern_explains_is_no_other_service(git: fake.Github, connect: Any) -> None:
    repository = git.add("acme/gateway")
    for number in (1, 2):
        repository.tags[f"release/v1.{number}.0"] = repository.commit(f"Release {number}")
    made = repository.deployment("release/v1.1.0", "production", created_s=time.time() - 100)
    repository.status(made, "success", created_s=time.time() - 90)
    connector = connect(tag_pattern="release/v{version}")
    assert [n.version for n in connector.fleet("gateway", "production").nodes] == ["1.1.0"]
    request = DeployRequest("gateway", "production", "1.2.0", f"git:{repository.tags['release/v1.2.0']}", "deploy", WHO, "why", ())
    begun = connector.deploy(request, "k1")
    assert connector.history("gateway", "production")[0].id == begun.id
    active = connector.fleet("gateway", "production").active
    assert active is not None
    assert active.key == "k1"


def test_a_workflow_that_does_not_name_its_runs_is_not_started(git: fake.Github, connect: Any) -> None:
    repository = with_versions(git)
    for text in ("", "on: workflow_dispatch\n", "run-name: ${{ inputs.key }}\n"):
        repository.files = {".github/workflows/deploy.yml": text} if text else {}
        with pytest.raises(Rejected) as caught:
            connect(workflow_dispatch="deploy.yml").deploy(request_of(repository, "v1.2.0"), "k1")
        assert RUN_NAME.strip() in caught.value.hint
    assert not [r for r in git.requests if r.method == "POST"]


def test_a_started_workflow_can_be_cancelled(git: fake.Github, connect: Any) -> None:
    repository = with_versions(git)
    repository.files[".github/workflows/deploy.yml"] = RUN_NAME
    connector = connect(workflow_dispatch="deploy.yml")
    started = connector.deploy(request_of(repository, "v1.2.0"), "k1")
    assert connector.find("k1").id == started.id
    active = connector.fleet("gateway", "production").active
    assert (active.id, active.key, active.version) == (started.id, "k1", "1.2.0")
    assert [d.key for d in connector.history("gateway", "production")] == ["k1", ""]
    assert connector.abort(started.id).state is DeployState.ABORTED


# gates, rights, limits


def test_a_gate_says_who_may_answer(git: fake.Github, connect: Any) -> None:
    repository = with_versions(git)
    repository.wait(repository.tags["v1.2.0"], "production", display_title="Deploy 1.2.0")
    (gate,) = connect().gates("gateway")
    assert (gate.environment, gate.version, gate.who, gate.mine) == ("production", "1.2.0", ("ada", "bob"), True)
    assert gate.title == "Deploy 1.2.0 waits for production"
    (same,) = connect(workflow="ci.yml").gates("gateway")
    assert same == gate


def test_the_secondary_limit_is_a_pause_and_no_refusal(git: fake.Github, connect: Any) -> None:
    with_versions(git)
    git.fault = "limit"
    with pytest.raises(RateLimited) as caught:
        connect().runs("gateway")
    assert caught.value.retry_after_s >= 60


def test_what_was_seen_with_a_token_is_forgotten_without_it(git: fake.Github, connect: Any) -> None:
    with_versions(git)
    connector = connect()
    connector.runs("gateway")
    git.fault = "forbid"
    with pytest.raises(AuthFailed):
        connector.runs("gateway")
    git.fault, begin = "", len(git.requests)
    connector.runs("gateway")
    assert asked(git, begin, "/actions/runs")[0].status == 200


def test_what_the_connection_may_not_do_is_said(git: fake.Github, connect: Any) -> None:
    repository = with_versions(git)
    git.scopes, repository.push = "read:user", False
    found = connect(repository="acme/gateway").probe()
    assert found.identity == "ada"
    assert [part.split(":")[0] for part in found.missing] == ["the scope repo", "the right to write to acme/gateway"]
    assert "does not exist" in connect(repository="acme/nothing").probe().missing[1]
    with pytest.raises(AuthFailed):
        connect(token="wrong").probe()


def test_it_is_made_from_the_settings_alone() -> None:
    connector = registry.create("github", {"repository": "acme/{service}"}, str)
    connector.close()
    for odd in ("acme", "acme/../x", "https://github.com/acme/x", "{service}"):
        with pytest.raises(ConfigError):
            registry.create("github", {"repository": odd}, str)


def test_a_service_whose_name_is_no_repository_is_not_found(connect: Any) -> None:
    for odd in ("../x", "a b", "a/b", "x?y"):
        with pytest.raises(NotFound):
            connect().runs(odd)


def test_an_old_server_that_does_not_name_the_run_is_asked_by_the_key(git: fake.Github, connect: Any, monkeypatch: Any) -> None:
    repository = with_versions(git)
    repository.files[".github/workflows/deploy.yml"] = RUN_NAME
    connector = connect(workflow_dispatch="deploy.yml")
    monkeypatch.setattr("cockpit.connectors.github_dispatch.parse_started", lambda body: 0)
    with pytest.raises(OutcomeUnknown):
        connector.deploy(request_of(repository, "v1.2.0"), "k1")
    assert connector.find("k1") is not None
