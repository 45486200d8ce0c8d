"""The GitHub connector keeps what its five ports promise, against a GitHub in memory; each request fits GitHub's own specification."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from cockpit.connectors.github import Github
from cockpit.connectors.github_api import Names
from cockpit.connectors.http import Limits
from cockpit.contract.ci import CiContract, CiWorld
from cockpit.contract.deployment import DeploymentContract, DeploymentWorld
from cockpit.contract.gates import GatesContract, GatesWorld
from cockpit.contract.reviews import ReviewsContract, ReviewsWorld
from cockpit.contract.source import SourceContract, SourceWorld
from cockpit.domain.gates import Gate
from cockpit.domain.release import Service, Version
from tests.fakes import github as fake
from tests.fakes.github_repository import Json, Repository
from tests.fakes.github_shapes import annotation
from tests.fakes.github_spec import specification

QUICK = Limits(connect_timeout_s=1.0, read_timeout_s=0.5, deadline_s=2.0, retries=0)
US = 1_000_000
TAGS = 120
DISPATCH = "on: workflow_dispatch\nrun-name: " + " ".join(
    "${{ inputs." + word + " }}" for word in ("kind", "service", "version", "environment", "key")
)


@pytest.fixture
def git() -> Iterator[fake.Github]:
    made = fake.Github()
    yield made
    made.close()
    specification().check(made.requests)


@pytest.fixture
def connector(git: fake.Github, request: pytest.FixtureRequest) -> Iterator[Github]:
    names = Names("acme/{service}", **getattr(request.cls, "names", {}))
    made = Github(git.url, names, lambda: fake.TOKEN, limits=QUICK, history=(1000.0, 0.0))
    yield made
    made.close()


def common(git: fake.Github, connector: Github) -> dict[str, Any]:
    def hook(word: str) -> Any:
        return lambda: setattr(git, "fault", word)

    faults = {name: hook(name) for name in ("forbid", "cut", "hang", "lose")}
    return {"connector": connector, "secret": fake.TOKEN, "identity": "ada", "shared": True, "heal": hook(""), **faults}


def released(git: fake.Github, count: int = 3) -> Repository:
    """A repository with `count` versions, two commits each, and a tag that is no version."""
    repository = git.add("acme/gateway")
    for number in range(1, count + 1):
        repository.commit(f"Begin {number}")
        sha = repository.commit(f"Release {number}", at_s=time.time() - 4000 + 10 * number)
        repository.tags[f"v1.{number}.0"] = sha
    repository.tags["not-a-version"] = repository.main[0]
    return repository


class TestSource(SourceContract):
    @pytest.fixture
    def world(self, git: fake.Github, connector: Github) -> SourceWorld:
        repository = released(git, TAGS)
        git.add("acme/empty")
        names = [f"1.{number}.0" for number in range(TAGS, 0, -1)]

        connector.versions(Service("gateway"))  # the fingerprint is of what was asked for so far

        def move() -> None:
            repository.tags["v2.0.0"] = repository.commit("Two")

        return SourceWorld(
            service=Service("gateway"),
            versions={name: repository.tags[f"v{name}"] for name in names},
            base=f"v1.{TAGS - 1}.0",
            head=f"v1.{TAGS}.0",
            commits=tuple(repository.main[:-3:-1]),
            released_us={f"1.{TAGS}.0": repository.commits[repository.main[-1]]["at_s"] * US},
            empty=Service("empty"),
            paged=True,
            move=move,
            **common(git, connector),
        )


def with_runs(git: fake.Github) -> tuple[Repository, list[Json]]:
    """Runs of three versions, the last one failed; newest first."""
    repository = released(git)
    now, runs = time.time(), []
    for number, conclusion in ((1, "success"), (2, "success"), (3, "failure")):
        sha = repository.tags[f"v1.{number}.0"]
        times = {"created_s": now - 900 + 100 * number, "run_started_s": now - 900 + 100 * number, "updated_s": now - 850 + 100 * number}
        run = repository.run(sha, conclusion=conclusion, **times)
        repository.job(run, "lint")
        job = repository.job(run, "unit", conclusion)
        if conclusion == "failure":
            repository.annotations[job["id"]] = [
                annotation("a.py", 3, "failure", "test_price", "expected 3"),
                annotation("a.py", 4, "notice", "", "x"),
            ]
        runs.insert(0, run)
    return repository, runs


class TestCi(CiContract):
    @pytest.fixture
    def world(self, git: fake.Github, connector: Github) -> CiWorld:
        _, runs = with_runs(git)
        git.add("acme/empty")
        many = git.add("acme/many")
        for _ in range(130):
            many.run(many.commit(), run_started_s=time.time() - 1000 + len(many.runs), created_s=time.time() - 1000 + len(many.runs))
        ids = tuple(f"gateway/{run['id']}-1" for run in runs)
        return CiWorld(
            service="gateway",
            run_ids=ids,
            commits={f"gateway/{run['id']}-1": run["head_sha"] for run in runs},
            moments={f"gateway/{r['id']}-1": (int(r["run_started_s"]) * US, int(r["updated_s"]) * US) for r in runs},
            failed=(ids[0], "unit", "test_price"),
            log=(ids[0], "unit", "log of job"),
            empty="empty",
            unknown_service="nobody",
            unknown="gateway/987654321-1",
            many=("many", tuple(f"many/{run['id']}-1" for run in reversed(many.runs))),
            again=ids[1],
            settle_s=3.0,
            **common(git, connector),
        )


def deployed(git: fake.Github, **times: float) -> Repository:
    repository = released(git)
    now = time.time()
    for number, tag in enumerate(("v1.1.0", "v1.2.0")):
        made = repository.deployment(tag, "production", {"service": "gateway"}, created_s=now - 900 + 100 * number)
        repository.status(made, "in_progress", created_s=now - 895 + 100 * number)
        repository.status(made, "success", created_s=now - 890 + 100 * number)
    return repository


class TestDeployment(DeploymentContract):
    @pytest.fixture
    def world(self, git: fake.Github, connector: Github) -> DeploymentWorld:
        repository = deployed(git)
        made = repository.deployments
        crowd = []
        for _ in range(110):
            crowd.append(repository.deployment("v1.1.0", "crowd", created_s=time.time() - 5000 + len(crowd)))
            repository.status(crowd[-1], "success", created_s=time.time() - 4000)
        digests = tuple(f"git:{repository.tags[f'v1.{number}.0']}" for number in (3, 2, 1))
        ends = {d["id"]: next(s for s in repository.statuses[d["id"]] if s["state"] == "success") for d in made}
        return DeploymentWorld(
            service="gateway",
            environment="production",
            nodes=("production",),
            artifacts=digests,
            history=tuple(f"gateway/{d['id']}" for d in made[1::-1]),
            moments={f"gateway/{d['id']}": (int(d["created_s"]) * US, int(ends[d["id"]]["created_s"]) * US) for d in made[:2]},
            unknown="gateway/987654321",
            unknown_digest=f"git:{'0' * 40}",
            many=("crowd", tuple(f"gateway/{d['id']}" for d in reversed(crowd))),
            advance=repository.advance,
            settle_s=3.0,
            **common(git, connector),
        )


class TestDispatched(DeploymentContract):
    """The same by a workflow that is started by hand."""

    names = {"workflow_dispatch": "deploy.yml"}

    @pytest.fixture
    def world(self, git: fake.Github, connector: Github) -> DeploymentWorld:
        repository = deployed(git)
        repository.files[".github/workflows/deploy.yml"] = DISPATCH
        return DeploymentWorld(
            service="gateway",
            environment="production",
            nodes=("production",),
            artifacts=tuple(f"git:{repository.tags[f'v1.{number}.0']}" for number in (3, 2, 1)),
            history=tuple(f"gateway/{d['id']}" for d in repository.deployments[::-1]),
            unknown="gateway/run/987654321",
            unknown_digest=f"git:{'0' * 40}",
            tells_reason=False,
            advance=repository.advance,
            settle_s=3.0,
            **common(git, connector),
        )


class TestReviews(ReviewsContract):
    @pytest.fixture
    def world(self, git: fake.Github, connector: Github) -> ReviewsWorld:
        repository = released(git)
        head = repository.commit("Work", login="ada", parents=[repository.main[-1]])
        early = repository.commits[head]["parents"][0]
        merge = repository.commit("Merge")
        repository.tags["v2.0.0"] = merge
        pull = repository.pull(head, merge)
        repository.review(pull, "bob", "CHANGES_REQUESTED", early, time.time() - 500)
        repository.review(pull, "bob", "APPROVED", head, time.time() - 400)
        repository.review(pull, "bob", "COMMENTED", head, time.time() - 300)
        repository.review(pull, "eve", "CHANGES_REQUESTED", early, time.time() - 200)
        versions = (Version("gateway", "2.0.0", "v2.0.0", merge, 0), Version("gateway", "1.1.0", "v1.1.0", repository.tags["v1.1.0"], 0))
        bob, eve = "12+bob@users.noreply.github.com", "13+eve@users.noreply.github.com"
        return ReviewsWorld(
            service=Service("gateway"),
            versions=versions,
            given=frozenset({("2.0.0", bob, True), ("2.0.0", eve, False)}),
            commits={("2.0.0", eve): early},
            unreviewed=versions[1],
            **common(git, connector),
        )


class TestGates(GatesContract):
    @pytest.fixture
    def world(self, git: fake.Github, connector: Github) -> GatesWorld:
        repository = released(git)
        git.add("acme/empty")

        def answered(gate: Gate) -> str:
            run, environment = gate.id.rpartition("/")[2].split("-")
            return repository.pending[int(run)][int(environment)]

        return GatesWorld(
            service="gateway",
            wait=lambda: repository.wait(repository.tags["v1.3.0"], "production"),
            answered=answered,
            quiet="empty",
            unknown="gateway/987654321-1",
            lag_s=3.0,
            **common(git, connector),
        )
