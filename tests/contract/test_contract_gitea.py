"""The contract suite on the Gitea connector, against a stub of its interface behind a gate that brings the faults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cockpit.connectors.gitea import Gitea, Options
from cockpit.connectors.http import HttpClient, Limits
from cockpit.contract.ci import CiContract, CiWorld
from cockpit.contract.reviews import ReviewsContract, ReviewsWorld
from cockpit.contract.source import SourceContract, SourceWorld
from cockpit.domain.release import Service, Version
from tests.fakes.gate import Gate
from tests.fakes.gitea import TOKEN, FakeGitea, Place
from tests.fakes.stub_http import START_S, US

LIMITS = Limits(connect_timeout_s=2, read_timeout_s=2, deadline_s=3, retries=0)
SERVICE = "gateway"


@pytest.fixture
def gitea() -> Iterator[FakeGitea]:
    with FakeGitea().running() as stub:
        yield stub


@pytest.fixture
def place(gitea: FakeGitea) -> Place:
    made = gitea.place(f"venue/{SERVICE}")
    gitea.place("venue/empty")
    repository = made.repository
    for version in ("1.0.0", "1.9.0", "1.10.0"):
        repository.add(f"part one of {version}")
        repository.tag(f"v{version}", repository.add(f"part two of {version}"), message=None if version == "1.9.0" else "a release")
    repository.tag("nightly", repository.last)
    return made


@pytest.fixture
def gate(gitea: FakeGitea) -> Iterator[Gate]:
    with Gate(gitea.port) as made:
        yield made


@pytest.fixture
def base(gate: Gate) -> Iterator[dict[str, Any]]:
    hooks = {name: getattr(gate, name) for name in ("forbid", "cut", "hang", "lose", "heal")}
    client = HttpClient(gate.url, name="Gitea", token=lambda: TOKEN, limits=LIMITS)
    connector = Gitea(client, Options(repository="venue/{service}", workflow="ci.yml"))
    yield {"connector": connector, "secret": TOKEN, "deadline_s": 8.0, "identity": "root", "shared": True, **hooks}
    connector.close()


class TestSource(SourceContract):
    @pytest.fixture(params=["a few", "pages", "small pages"])
    def world(self, request: pytest.FixtureRequest, base: dict[str, Any], gitea: FakeGitea, place: Place) -> SourceWorld:
        repository = place.repository
        tags = {tag["name"].removeprefix("v"): tag for tag in reversed(repository.tags) if tag["name"] != "nightly"}
        versions = {name: tag["commit"] for name, tag in tags.items()}
        moments = {name: tag["at_s"] * US for name, tag in tags.items()}
        gitea.cap = 20 if request.param == "small pages" else 50
        if request.param != "a few":
            more = {f"0.{n}.0": repository.tags[0]["commit"] for n in range(110)}
            for name, commit in more.items():
                repository.tag(f"v{name}", commit)
            versions |= dict(reversed(more.items()))
        commits = tuple(c["id"] for c in repository.between(repository.resolve("v1.0.0"), repository.resolve("v1.10.0")))
        base["connector"].versions(Service(SERVICE))  # a fingerprint is of the repositories that were asked for
        return SourceWorld(
            **base,
            service=Service(SERVICE),
            versions=versions,
            released_us=moments,
            empty=Service("empty"),
            base="v1.0.0",
            head="v1.10.0",
            commits=commits,
            paged=request.param != "a few",
            move=lambda: repository.tag("v2.0.0", repository.last),
        )


class TestReviews(ReviewsContract):
    @pytest.fixture
    def world(self, base: dict[str, Any], gitea: FakeGitea, place: Place) -> ReviewsWorld:
        repository = place.repository
        early, late = repository.add("first try", parent=""), repository.add("second try", parent="")
        gitea.pull(place, 7, [early, late], repository.resolve("v1.10.0"), author=3)
        at_s = START_S + 400_000
        gitea.review(place, 7, 1, "REQUEST_CHANGES", early, at_s, dismissed=True)
        gitea.review(place, 7, 1, "APPROVED", late, at_s + 60)
        gitea.review(place, 7, 1, "COMMENT", late, at_s + 70)
        gitea.review(place, 7, 2, "APPROVED", early, at_s, stale=True)
        gitea.review(place, 7, 3, "REQUEST_CHANGES", late, at_s)

        def version(name: str) -> Version:
            return Version(SERVICE, name, f"v{name}", repository.resolve(f"v{name}"), START_S * US)

        said = {("root@playground.invalid", True), ("bob@playground.invalid", True), ("cyd@noreply.gitea.invalid", False)}
        return ReviewsWorld(
            **base,
            service=Service(SERVICE),
            versions=(version("1.10.0"), version("1.9.0")),
            given=frozenset(("1.10.0", who, yes) for who, yes in said),
            commits={("1.10.0", "bob@playground.invalid"): early},
            moments={("1.10.0", "root@playground.invalid"): (at_s + 60) * US},
            unreviewed=version("1.9.0"),
        )


class TestCi(CiContract):
    @pytest.fixture
    def world(self, base: dict[str, Any], gitea: FakeGitea, place: Place) -> CiWorld:
        runs = [gitea.run(place, "v1.0.0", "failure"), gitea.run(place, "main", "success"), gitea.run(place, "v1.10.0", "success")]
        job = place.jobs[(runs[0]["id"], 1)][0]["id"]
        place.logs[job] = "x" * 300_000 + "\n2026-09-25T00:00:00.0000000Z \x1b[31mthe price is no number\x1b[0m\r\n"
        many = gitea.place("venue/many")
        many.repository.add("all there is")
        ids = [gitea.run(many, "main", "success")["id"] for _ in range(120)]
        gitea.run(place, "main", "success", workflow="nightly.yml")
        return CiWorld(
            **base,
            service=SERVICE,
            run_ids=tuple(f"{SERVICE}:{run['id']}:1" for run in reversed(runs)),
            commits={f"{SERVICE}:{run['id']}:1": run["head_sha"] for run in runs},
            moments={f"{SERVICE}:{r['id']}:1": (_at(r), _at(r) + 5 * US) for r in runs},
            log=(f"{SERVICE}:{runs[0]['id']}:1", "unit", "the price is no number"),
            empty="empty",
            unknown_service="nobody",
            many=("many", tuple(f"many:{i}:1" for i in reversed(ids))),
            again=f"{SERVICE}:{runs[-1]['id']}:1",
        )


def _at(run: dict[str, Any]) -> int:
    return (START_S + 400_000 + run["id"] * 10) * US
