"""Who is asked for the versions of a service: where a repository is named that one alone, else what reads its code."""

from __future__ import annotations

from typing import Any

import pytest

from cockpit.domain.facts import Fact
from cockpit.domain.release import Service, Version
from cockpit.services.connections import Connected
from cockpit.services.jobs import SourceJob
from cockpit.services.store import Store


class Source:
    """A SourceControl that remembers whom it was asked about."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def fingerprint(self) -> str:
        return "1"

    def versions(self, service: Service) -> tuple[Version, ...]:
        self.asked.append(service.name)
        return (Version(service.name, "1.0.0", "v1.0.0", "c1", 1),)

    def changes(self, *_: Any) -> Any:
        pytest.fail("nothing to compare")


@pytest.mark.parametrize(("kind", "asked"), [("git", ["on-disk", "on-forge"]), ("github", ["on-forge"])])
def test_a_forge_is_never_asked_for_versions_of_what_a_repository_tells(kind: str, asked: list[str], fake_clock: Any) -> None:
    store, source = Store(), Source()
    store.apply(services=(Service("on-disk", "/repo"), Service("on-forge"), Service("of-others")))
    connected = Connected("x", "x", kind, ("SourceControl",), ("on-disk", "on-forge"), source)
    job = SourceJob(connected, store, fake_clock, 15.0)
    assert job.apply(job.prepare()()) is None
    assert source.asked == asked
    assert set(store.state.versions) == set(asked)


def test_what_another_source_told_is_not_made_younger(fake_clock: Any) -> None:
    store, source = Store(), Source()
    store.apply(services=(Service("gw", "/repo"),))
    known = Fact((Version("gw", "1.0.0", "v1.0.0", "c1", 1),), 5, "git", 15.0)
    store.merge("versions", {"gw": known})
    job = SourceJob(Connected("hub", "hub", "github", ("SourceControl",), ("gw",), source), store, fake_clock, 15.0)
    assert job.apply(job.prepare()()) is None
    assert store.state.versions["gw"] == known
