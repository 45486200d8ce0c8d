"""The contract of Reviews."""
# ruff: noqa: S101 - these are tests

from __future__ import annotations

from typing import Any

from cockpit.connectors.ports import Reviews
from cockpit.contract.common import PortContract, World, needs, sane
from cockpit.domain.release import Service, Version


class ReviewsWorld(World, kw_only=True):
    """A forge where commits of some versions were reviewed.

    versions: those asked for. given: (version, who, approved) of every word that is there: each person's last one. commits: the commit that
    a word is bound to, by (version, who), where it is not the version's own. unreviewed: a version nobody reviewed.
    moments: the moment of a word by (version, who), in microseconds UTC, where the world knows it.
    """

    service: Service
    versions: tuple[Version, ...]
    given: frozenset[tuple[str, str, bool]]
    commits: dict[tuple[str, str], str] = {}
    moments: dict[tuple[str, str], int] = {}
    unreviewed: Version | None = None


class ReviewsContract(PortContract):
    """What every Reviews does."""

    def ask(self, world: Any) -> object:
        return world.connector.reviews(world.service, world.versions)

    def test_it_has_the_port(self, world: ReviewsWorld) -> None:
        assert isinstance(world.connector, Reviews)

    def test_who_said_what(self, world: ReviewsWorld) -> None:
        found = world.connector.reviews(world.service, world.versions)
        assert {(a.version, a.who, a.approved) for a in found} == world.given
        assert len(found) == len(world.given), "a word is there twice"

    def test_words_are_bound_to_a_commit(self, world: ReviewsWorld) -> None:
        own = {version.name: version.commit for version in world.versions}
        for approval in world.connector.reviews(world.service, world.versions):
            assert approval.commit == world.commits.get((approval.version, approval.who), own[approval.version])
            assert approval.service == world.service.name
            assert approval.source == "forge"
            assert approval.who == approval.who.lower().strip() != ""
            sane(approval.at_us)
            assert world.moments.get((approval.version, approval.who)) in (None, approval.at_us)

    def test_nothing_asked_nothing_said(self, world: ReviewsWorld) -> None:
        assert world.connector.reviews(world.service, ()) == ()

    def test_a_version_nobody_reviewed(self, world: ReviewsWorld) -> None:
        needs(world.unreviewed, "version that nobody reviewed")
        assert world.connector.reviews(world.service, (world.unreviewed,)) == ()
