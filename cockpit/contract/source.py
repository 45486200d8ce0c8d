"""The contract of SourceControl."""
# ruff: noqa: S101 - these are tests

from __future__ import annotations

from typing import Any

from cockpit.connectors.ports import SourceControl
from cockpit.contract.common import Hook, PortContract, World, falling, needs, once, refused, sane
from cockpit.domain.errors import NotFound
from cockpit.domain.release import Service


class SourceWorld(World, kw_only=True):
    """A repository with at least three versions.

    service: whose versions these are. versions: all its versions by name, newest first, each with its commit; other tags may be there and
    are no versions. released_us: the moment of a version, where the world knows it. empty: a service without a version.
    base, head: two of the tags; commits: the ids of the commits from base to head, newest first, at least two.
    move: makes a ref change. paged: the versions are more than one page of the system.
    """

    service: Service
    versions: dict[str, str]
    base: str
    head: str
    commits: tuple[str, ...]
    released_us: dict[str, int] = {}
    empty: Service | None = None
    unknown: str = "no-such-tag-anywhere"
    paged: bool = False
    move: Hook | None = None


class SourceContract(PortContract):
    """What every SourceControl does."""

    def ask(self, world: Any) -> object:
        return world.connector.versions(world.service)

    def test_it_has_the_port(self, world: SourceWorld) -> None:
        assert isinstance(world.connector, SourceControl)

    def test_versions_newest_first_each_once_with_their_commits(self, world: SourceWorld) -> None:
        found = world.connector.versions(world.service)
        assert isinstance(found, tuple)
        assert [(v.name, v.commit) for v in found] == list(world.versions.items())
        assert {v.service for v in found} == {world.service.name}
        assert {v.digest for v in found} == {""}
        once([v.tag for v in found])

    def test_more_than_a_page(self, world: SourceWorld) -> None:
        needs(world.paged, "list of more than one page")
        once([v.name for v in world.connector.versions(world.service)])
        assert len(world.connector.versions(world.service)) == len(world.versions)

    def test_moments(self, world: SourceWorld) -> None:
        found = {v.name: v.released_at_us for v in world.connector.versions(world.service)}
        for at_us in found.values():
            sane(at_us)
        assert {name: found[name] for name in world.released_us} == world.released_us

    def test_a_service_without_versions(self, world: SourceWorld) -> None:
        needs(world.empty, "service without versions")
        assert world.connector.versions(world.empty) == ()

    def test_changes_between_two_versions(self, world: SourceWorld) -> None:
        found = world.connector.changes(world.service, world.base, world.head)
        assert tuple(c.id for c in found.commits) == world.commits
        assert (found.base, found.head) == (world.base, world.head)
        assert (found.total_in, found.total_out) == (len(world.commits), 0)
        assert found.missing == ()
        assert all(c.subject for c in found.commits)
        for commit in found.commits:
            sane(commit.at_us)

    def test_changes_on_the_way_back_leave(self, world: SourceWorld) -> None:
        found = world.connector.changes(world.service, world.head, world.base)
        assert tuple(c.id for c in found.missing) == world.commits
        assert (found.commits, found.total_in, found.total_out) == ((), 0, len(world.commits))

    def test_a_limit_cuts_the_list_and_not_the_count(self, world: SourceWorld) -> None:
        found = world.connector.changes(world.service, world.base, world.head, 1)
        assert tuple(c.id for c in found.commits) == world.commits[:1]
        assert found.total_in == len(world.commits)

    def test_nothing_between_a_version_and_itself(self, world: SourceWorld) -> None:
        found = world.connector.changes(world.service, world.head, world.head)
        assert (found.commits, found.missing, found.total_in, found.total_out) == ((), (), 0, 0)

    def test_all_history_without_a_base(self, world: SourceWorld) -> None:
        found = world.connector.changes(world.service, "", world.head)
        ids = [c.id for c in found.commits]
        once(ids)
        assert tuple(ids[: len(world.commits)]) == world.commits
        assert found.total_in >= len(ids)

    def test_commit_ids_are_names_too(self, world: SourceWorld) -> None:
        found = world.connector.changes(world.service, world.base, world.commits[0])
        assert tuple(c.id for c in found.commits) == world.commits

    def test_a_name_that_does_not_exist(self, world: SourceWorld) -> None:
        for base, head in ((world.base, world.unknown), (world.unknown, world.head), ("", world.unknown)):
            with refused(world, NotFound):
                world.connector.changes(world.service, base, head)

    def test_a_name_is_never_an_option_or_a_path(self, world: SourceWorld) -> None:
        for odd in ("--all", "-n1", "../..", "a..b", "x y", "\n"):
            with refused(world, NotFound):
                world.connector.changes(world.service, world.base, odd)

    def test_the_fingerprint_stays_until_a_ref_moves(self, world: SourceWorld) -> None:
        before = world.connector.fingerprint()
        assert before
        assert before == world.connector.fingerprint()
        if world.move is not None:
            world.move()
            assert world.connector.fingerprint() != before

    def test_dates_fall_along_the_history(self, world: SourceWorld) -> None:
        needs(world.released_us, "moments of its versions")
        falling([at for _, at in sorted(world.released_us.items(), key=lambda item: list(world.versions).index(item[0]))])
