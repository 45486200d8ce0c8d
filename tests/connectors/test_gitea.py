"""What is Gitea's and Forgejo's own in the Gitea connector; the contract suite is in tests/contract/test_contract_gitea.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.connectors import gitea_wire
from cockpit.connectors.gitea import Gitea, Options
from cockpit.connectors.http import HttpClient, Limits
from cockpit.domain.checks import CheckState
from cockpit.domain.errors import NotFound, Rejected
from cockpit.domain.release import Service, Version
from tests.fakes.fuzz import BODIES, parsers, understood_or_bad, wrong
from tests.fakes.gitea import TOKEN, FakeGitea, Place
from tests.fakes.stub_http import START_S, US, Refused, iso

LIMITS = Limits(connect_timeout_s=2, read_timeout_s=2, deadline_s=3, retries=0)
SERVICE = "gateway"
Connect = Callable[..., Gitea]


@pytest.fixture
def gitea() -> Iterator[FakeGitea]:
    with FakeGitea().running() as stub:
        yield stub


@pytest.fixture
def place(gitea: FakeGitea) -> Place:
    made = gitea.place(f"venue/{SERVICE}")
    for version in ("1.0.0", "1.1.0"):
        body = "Reviewed-by: Bob <bob@playground.invalid>"
        made.repository.tag(f"v{version}", made.repository.add(f"work for {version}", body=body, files=(f"src/{version}.py",)))
    return made


@pytest.fixture
def connect(gitea: FakeGitea) -> Iterator[Connect]:
    made = []

    def one(**named: str) -> Gitea:
        options = Options(**{"repository": "venue/{service}", **named})
        made.append(Gitea(HttpClient(gitea.url, name="Forge", token=lambda: TOKEN, limits=LIMITS), options))
        return made[-1]

    yield one
    for connector in made:
        connector.close()


GOOD_RUN: dict[str, Any] = {
    "id": 7,
    "status": "completed",
    "conclusion": "success",
    "head_sha": "a" * 40,
    "path": "ci.yml@refs/tags/v1.0.0",
    "run_attempt": 1,
    "started_at": "2026-11-22T10:00:00+02:00",
    "completed_at": "0001-01-01T00:00:00Z",
}


@settings(max_examples=150, deadline=None)
@given(body=BODIES, data=st.data())
def test_any_body_is_understood_or_bad(body: bytes, data: st.DataObject) -> None:
    for parse in parsers(gitea_wire):
        understood_or_bad(parse, body)
    understood_or_bad(gitea_wire.parse_runs, data.draw(wrong({"workflow_runs": [GOOD_RUN], "total_count": 1})))


def test_commits_have_their_trailers_and_files(place: Place, connect: Connect) -> None:
    for number in range(4):
        place.repository.add(f"change {number}", files=("services/gateway/run.py",) if number % 2 else ("other.py",))
    found = connect().changes(Service(SERVICE), "v1.0.0", "v1.1.0")
    assert (found.commits[0].reviewers, found.files) == (("Bob <bob@playground.invalid>",), ("src/1.1.0.py",))
    assert found.commits[0].at_us == (START_S + 3600) * US
    assert connect().changes(Service(SERVICE, path="services/gateway/"), "v1.1.0", "main").total_in == 2
    whole = connect().changes(Service(SERVICE), "", "main", 2)
    assert (len(whole.commits), whole.total_in, whole.people) == (2, 6, ("ada@playground.invalid",))


def test_forgejos_runs(place: Place, connect: Connect) -> None:
    names = {"title": "a push", "workflow_id": "ci.yml", "index_in_repo": 3, "html_url": "https://forge.playground.invalid/run"}
    moments = {"created": iso(START_S), "started": iso(START_S + 1), "stopped": iso(START_S + 9), "updated": iso(START_S + 9)}
    place.runs.append({"id": 9, "status": "failure", "commit_sha": "b" * 40, "prettyref": "v1.0.0", "run_attempt": None} | names | moments)
    run = connect().runs(SERVICE)[0]
    assert (run.id, run.state, run.commit, run.version) == (f"{SERVICE}:9:1", CheckState.FAILED, "b" * 40, "1.0.0")
    assert (run.started_at_us, run.finished_at_us) == ((START_S + 1) * US, (START_S + 9) * US)
    assert [suite.name for suite in run.suites] == ["ci.yml"]


def test_what_an_older_version_lacks_is_not_found_with_a_way_out(gitea: FakeGitea, place: Place, connect: Connect) -> None:
    run = gitea.run(place, "v1.0.0", "failure")
    running = gitea.run(place, "v1.1.0", "")
    running |= {"status": "in_progress"}
    gitea.without = ("/rerun", "/cancel", "/logs", "/jobs")
    connector = connect()
    assert [suite.name for suite in connector.runs(SERVICE)[1].suites] == ["ci.yml"]
    with pytest.raises(NotFound) as caught:
        connector.rerun(f"{SERVICE}:{run['id']}:1", "key")
    assert "1.26" in caught.value.hint
    with pytest.raises(NotFound) as caught:
        connector.stop(f"{SERVICE}:{running['id']}:1")
    assert "1.28" in caught.value.hint
    gitea.without = ("/logs",)
    with pytest.raises(NotFound) as caught:
        connector.log(f"{SERVICE}:{run['id']}:1", "unit")
    assert "in the forge" in caught.value.hint
    gitea.without = ("/actions",)
    with pytest.raises(NotFound) as caught:
        connector.runs(SERVICE)
    assert "update" in caught.value.hint


def test_a_green_workflow_never_hides_a_red_one(gitea: FakeGitea, place: Place, connect: Connect) -> None:
    gitea.run(place, "v1.1.0", "failure", workflow="ci.yml")
    gitea.run(place, "v1.1.0", "success", workflow="lint.yml")
    with pytest.raises(Rejected, match=r"ci\.yml, lint\.yml"):
        connect().runs(SERVICE)
    assert [run.state for run in connect(workflow="ci.yml").runs(SERVICE)] == [CheckState.FAILED]


def test_an_attempt_runs_again_once_whoever_asks(gitea: FakeGitea, place: Place, connect: Connect) -> None:
    run = gitea.run(place, "v1.1.0", "failure", jobs=("unit", "lint"))
    first = connect().rerun(f"{SERVICE}:{run['id']}:1", "key1")
    assert (first.id, first.state) == (f"{SERVICE}:{run['id']}:2", CheckState.PENDING)
    assert connect().rerun(f"{SERVICE}:{run['id']}:1", "key2").id == first.id
    with pytest.raises(Rejected):
        connect().rerun(first.id, "key3")
    assert connect().run(f"{SERVICE}:{run['id']}:1").state is CheckState.FAILED
    assert sum(asked.endswith("/rerun") for asked in gitea.asked) == 1


def test_an_idle_poll_asks_once_for_what_has_ended(gitea: FakeGitea, place: Place, connect: Connect) -> None:
    for _ in range(3):
        gitea.run(place, "v1.1.0", "success")
    connector = connect()
    first = connector.runs(SERVICE)
    before = len(gitea.asked)
    assert connector.runs(SERVICE) == first
    assert len(gitea.asked) - before == 1


def test_words_that_do_not_count(gitea: FakeGitea, place: Place, connect: Connect) -> None:
    merged = place.repository.resolve("v1.1.0")
    head = place.repository.add("work", parent="")
    gitea.pull(place, 3, [head], merged, author=1)
    gitea.review(place, 3, 1, "APPROVED", head, START_S)
    gitea.review(place, 3, 2, "APPROVED", head, START_S, official=False, body="fine\nby me")
    gitea.review(place, 3, 3, "APPROVED", head, START_S)
    gitea.review(place, 3, 3, "REQUEST_CHANGES", head, START_S + 9, dismissed=True)
    version = Version(SERVICE, "1.1.0", "v1.1.0", merged, START_S * US)
    found = {a.who: a for a in connect(email="{username}@venue.invalid").reviews(Service(SERVICE), (version,))}
    assert set(found) == {"root@venue.invalid", "bob@venue.invalid"}
    assert "themselves" in found["root@venue.invalid"].why_not
    assert "official" in found["bob@venue.invalid"].why_not
    assert (found["bob@venue.invalid"].comment, found["bob@venue.invalid"].name) == ("fine by me", "bob")


def test_the_probe_says_which_of_the_two_it_is(gitea: FakeGitea, connect: Connect) -> None:
    gitea.version = "11.0.1+gitea-1.22.0"
    assert connect().probe().reached == "Forgejo 11.0.1+gitea-1.22.0"

    def refused(_: Any) -> Any:
        raise Refused(403, {"message": "token does not have at least one of required scope(s): [read:user]"})

    gitea.routes.insert(0, ("GET", next(r for _, r, _ in gitea.routes if r.pattern.endswith("/user")), refused))
    assert "read:user" in connect().probe().missing[0]


@pytest.mark.parametrize("odd", ["gateway", "gateway:1", "gateway:x:1", ":1:1", "gateway:1:1:1", "../x:1:1", "a/b/c:1:1"])
def test_ids_of_another_form_are_not_sent(gitea: FakeGitea, connect: Connect, odd: str) -> None:
    with pytest.raises(NotFound):
        connect().run(odd)
    assert gitea.asked == []
