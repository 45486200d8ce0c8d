"""The contract suite on the GitLab connector, against a stub of its interface behind a gate that brings the faults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cockpit.connectors.gitlab import Gitlab, Options
from cockpit.connectors.http import HttpClient, Limits
from cockpit.contract.ci import CiContract, CiWorld
from cockpit.contract.deployment import DeploymentContract, DeploymentWorld
from cockpit.contract.gates import GatesContract, GatesWorld
from cockpit.contract.reviews import ReviewsContract, ReviewsWorld
from cockpit.contract.source import SourceContract, SourceWorld
from cockpit.domain.gates import Gate as Waiting
from cockpit.domain.release import Service, Version
from tests.fakes.gate import Gate
from tests.fakes.gitlab import TOKEN, FakeGitlab, Project
from tests.fakes.stub_http import START_S, US, iso, now_s

LIMITS = Limits(connect_timeout_s=2, read_timeout_s=2, deadline_s=3, retries=0)
SERVICE = "gateway"


@pytest.fixture
def gitlab() -> Iterator[FakeGitlab]:
    with FakeGitlab().running() as stub:
        yield stub


@pytest.fixture
def project(gitlab: FakeGitlab) -> Project:
    """Three versions of two commits each, and tags that are none."""
    made = gitlab.project(f"venue/{SERVICE}")
    gitlab.project("venue/empty")
    repository = made.repository
    for version in ("1.0.0", "1.9.0", "1.10.0"):
        repository.add(f"part one of {version}", body="Reviewed-by: Bob <bob@playground.invalid>", files=("src/book.py", "settings.toml"))
        tagged = repository.add(f"part two of {version}")
        repository.tag(f"v{version}", tagged, message=None if version == "1.9.0" else f"Release {version}")
    repository.tag("nightly", tagged)
    return made


@pytest.fixture
def gate(gitlab: FakeGitlab) -> Iterator[Gate]:
    with Gate(gitlab.port) as made:
        yield made


@pytest.fixture
def connector(gate: Gate) -> Iterator[Gitlab]:
    made = Gitlab(HttpClient(gate.url, name="GitLab", token=lambda: TOKEN, limits=LIMITS), Options(project="venue/{service}"))
    yield made
    made.close()


@pytest.fixture
def base(connector: Gitlab, gate: Gate) -> dict[str, Any]:
    hooks = {name: getattr(gate, name) for name in ("forbid", "cut", "hang", "lose", "heal")}
    return {"connector": connector, "secret": TOKEN, "deadline_s": 8.0, "identity": "root", "shared": True, **hooks}


class TestSource(SourceContract):
    @pytest.fixture(params=["a few", "pages"])
    def world(self, request: pytest.FixtureRequest, base: dict[str, Any], project: Project) -> SourceWorld:
        repository = project.repository
        tags = {tag["name"].removeprefix("v"): tag for tag in reversed(repository.tags) if tag["name"] != "nightly"}
        versions = {name: tag["commit"] for name, tag in tags.items()}
        if request.param == "pages":
            more = {f"0.{n}.0": repository.tags[0]["commit"] for n in range(250)}
            for name, commit in more.items():
                repository.tag(f"v{name}", commit)
            versions |= dict(reversed(more.items()))
        commits = tuple(c["id"] for c in repository.between(repository.resolve("v1.0.0"), repository.resolve("v1.10.0")))
        base["connector"].versions(Service(SERVICE))  # a fingerprint is of the projects that were asked for
        moments = {n: (t["at_s"] if t["message"] else repository.commits[t["commit"]]["at_s"]) * US for n, t in tags.items()}
        return SourceWorld(
            **base,
            service=Service(SERVICE),
            versions=versions,
            released_us=moments,
            empty=Service("empty"),
            base="v1.0.0",
            head="v1.10.0",
            commits=commits,
            paged=request.param == "pages",
            move=lambda: repository.tag("v2.0.0", repository.last),
        )


class TestReviews(ReviewsContract):
    @pytest.fixture
    def world(self, base: dict[str, Any], gitlab: FakeGitlab, project: Project) -> ReviewsWorld:
        repository = project.repository
        of = repository.resolve
        early, late = repository.add("first try", parent=""), repository.add("second try", parent="")
        gitlab.request(project, 7, [early, late], merge=of("v1.10.0"), author=3)
        pushed = START_S + 360_000
        project.approvals[7] = [(1, pushed + 7200), (2, pushed + 60)]
        project.reviewers[7] = [(3, "requested_changes"), (1, "approved")]

        def version(name: str) -> Version:
            return Version(SERVICE, name, f"v{name}", of(f"v{name}"), START_S * US)

        return ReviewsWorld(
            **base,
            service=Service(SERVICE),
            versions=(version("1.10.0"), version("1.9.0")),
            given=frozenset(
                {
                    ("1.10.0", "root@playground.invalid", True),
                    ("1.10.0", "bob@playground.invalid", True),
                    ("1.10.0", "cyd", False),
                }
            ),
            commits={("1.10.0", "bob@playground.invalid"): early},
            moments={("1.10.0", "root@playground.invalid"): (pushed + 7200) * US},
            unreviewed=version("1.9.0"),
        )


class TestCi(CiContract):
    @pytest.fixture
    def world(self, base: dict[str, Any], gitlab: FakeGitlab, project: Project) -> CiWorld:
        red = gitlab.pipeline(project, "v1.0.0", "failed")
        unit = gitlab.job(project, red, "unit", "failed", failure_reason="script_failure")
        gitlab.job(project, red, "lint", "success")
        case = {"name": "test_depth", "classname": "tests.test_book", "execution_time": 0.5, "system_output": "assert 3 == 4"}
        good = {"name": "test_price", "classname": "tests.test_book", "execution_time": 0.1, "system_output": None, "stack_trace": None}
        project.reports[red["id"]] = {"unit": [case | {"status": "failed", "stack_trace": None}, good | {"status": "success"}]}
        project.traces[unit["id"]] = "section_start:1:x\r\x1b[0K" + "x" * 300_000 + "\n\x1b[31mthe price is no number\x1b[0;m\n"
        green = gitlab.pipeline(project, "main", "success")
        gitlab.job(project, green, "unit", "success")
        last = gitlab.pipeline(project, "v1.10.0", "success")
        gitlab.job(project, last, "unit", "success")
        gitlab.job(project, last, "deploy", "manual")
        many = gitlab.project("venue/many")
        many.repository.add("all there is")
        ids = [gitlab.pipeline(many, "main", "success")["id"] for _ in range(120)]
        runs = (last, green, red)
        return CiWorld(
            **base,
            service=SERVICE,
            run_ids=tuple(f"{SERVICE}:{p['id']}" for p in runs),
            commits={f"{SERVICE}:{p['id']}": p["sha"] for p in runs},
            failed=(f"{SERVICE}:{red['id']}", "unit", "test_depth"),
            log=(f"{SERVICE}:{red['id']}", "unit", "the price is no number"),
            empty="empty",
            unknown_service="nobody",
            many=("many", tuple(f"many:{i}" for i in reversed(ids))),
            again=f"{SERVICE}:{last['id']}",
        )


class TestDeployment(DeploymentContract):
    @pytest.fixture
    def world(self, base: dict[str, Any], gitlab: FakeGitlab, project: Project) -> DeploymentWorld:
        old = gitlab.deploy(project, "production", "v1.0.0", "success")
        broken = gitlab.deploy(project, "production", "v1.10.0", "failed")
        live = gitlab.deploy(project, "production", "v1.9.0", "success")
        ids = [gitlab.deploy(project, "staging", "v1.9.0", "success")["id"] for _ in range(120)]
        order = ("v1.10.0", "v1.9.0", "v1.0.0")
        return DeploymentWorld(
            **base,
            service=SERVICE,
            environment="production",
            nodes=("production",),
            artifacts=tuple("git:" + project.repository.resolve(tag) for tag in order),
            history=tuple(f"d{d['id']}:{SERVICE}:production" for d in (live, broken, old)),
            many=("staging", tuple(f"d{i}:{SERVICE}:staging" for i in reversed(ids))),
            advance=gitlab.advance,
        )


class TestGates(GatesContract):
    @pytest.fixture
    def world(self, base: dict[str, Any], gitlab: FakeGitlab, project: Project) -> GatesWorld:
        def wait() -> None:
            made = gitlab.deploy(project, "production", "v1.10.0", "blocked")
            made["created_at"] = iso(now_s() - 60)
            rule = {"access_level_description": "release managers", "required_approvals": 1, "deployment_approvals": []}
            project.rules[made["id"]] = [rule]

        def answered(waiting: Waiting) -> str:
            said = project.answers.get(int(waiting.id), [])
            assert len(said) < 2
            return str(said[0]["status"]) if said else ""

        return GatesWorld(**base, service=SERVICE, wait=wait, answered=answered, quiet="empty")
