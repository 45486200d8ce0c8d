"""Versions and the commits between them, from GitHub's tags and comparisons."""

from __future__ import annotations

import re
from hashlib import sha256
from threading import Lock

from msgspec.structs import replace

from cockpit.connectors.git_parse import Tag, versions_of
from cockpit.connectors.github_api import PER_PAGE, Api, Budget
from cockpit.connectors.github_wire import Written, parse_commit, parse_commits, parse_comparison, parse_tags
from cockpit.connectors.text import one_line
from cockpit.domain.errors import NotFound
from cockpit.domain.release import Changes, Commit, Service, Version, address_of, in_order

PAGES_READ = 10  # of one comparison: a thousand commits; beyond that who wrote them all is not known
DATE_PAGES = 3
DATED_FIRST, DATED_PER_HOUR = 20.0, 20.0  # commits read for nothing but the date of an old tag
SHARED_S = 30.0
MOST_DATES = 50_000
_NO_REF_NAME = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^/|^-|/$|\.$|^@$|^$")


class Source:
    """SourceControl's part of GitHub. Tags are read with a condition, and shared with the other ports for a moment.

    GitHub's list of tags names the commits of annotated tags too, but no dates: a version is as old as its commit.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._dates: dict[tuple[str, str], int] = {}  # by (repository, commit): these never change
        self._emails: dict[str, str] = {}  # by login
        self._seen: dict[tuple[str, str], None] = {}  # commits whose author is known
        self._budget = Budget(DATED_FIRST, DATED_PER_HOUR, api.monotonic)
        self._lock = Lock()

    def tags(self, service: str, within_s: float = SHARED_S, who: str = "") -> tuple[Tag, ...]:
        """All tags of a service's repository; those read not longer than `within_s` ago will do, unless `who` had them already."""
        return self._api.pages(self._api.path(service, "tags"), parse_tags, within_s=within_s, who=who)

    def known(self, service: str, within_s: float = SHARED_S) -> tuple[Version, ...]:
        """The versions by the connection's own pattern, newest first, dated as far as it is known already."""
        found = versions_of(self.tags(service, within_s), Service(service, tag_pattern=self._api.names.tag_of(service)))
        return self._dated(service, found)

    def versions(self, service: Service) -> tuple[Version, ...]:
        """All versions, newest first; a date that cannot be told yet is 0."""
        pattern = service.tag_pattern or self._api.names.tag_of(service.name)
        found = versions_of(self.tags(service.name, who=f"versions:{service.name}"), replace(service, tag_pattern=pattern))
        self._date(service.name, found)
        return in_order(self._dated(service.name, found))

    def fingerprint(self) -> str:
        """Of the tags of all repositories asked for so far: one question each, which costs nothing while no tag changed."""
        seen = sha256()
        places = self._api.repositories
        for place in sorted(places):
            seen.update(repr((place, self._api.pages(f"{place}/tags", parse_tags))).encode("utf-8", "replace"))
        return f"{len(places)}:{seen.hexdigest()}"

    # dates and addresses

    def note_date(self, service: str, commit: str, at_us: int) -> None:
        """What another answer told of a commit's date."""
        if at_us:
            with self._lock:
                self._dates[self._api.path(service), commit] = at_us
                if len(self._dates) > MOST_DATES:
                    self._dates.pop(next(iter(self._dates)))

    def note(self, service: str, commits: tuple[Written, ...]) -> None:
        """Dates, and which e-mail address goes with which account."""
        for written in commits:
            self.note_date(service, written.commit.id, written.commit.at_us)
            with self._lock:
                self._seen[self._api.path(service), written.commit.id] = None
                if len(self._seen) > MOST_DATES:
                    self._seen.pop(next(iter(self._seen)))
                if written.login and written.commit.email:
                    self._emails[written.login.lower()] = address_of(written.commit.email)

    def seen(self, service: str, commit: str) -> bool:
        """Whether it is known who wrote that commit, and so, most likely, those before it."""
        with self._lock:
            return (self._api.path(service), commit) in self._seen

    def email(self, login: str) -> str:
        """The address under which that account commits, "" where no commit of it was seen."""
        with self._lock:
            return self._emails.get(login.lower(), "")

    def _dated(self, service: str, found: tuple[Version, ...]) -> tuple[Version, ...]:
        place = self._api.path(service)
        with self._lock:
            return tuple(replace(v, released_at_us=self._dates.get((place, v.commit), 0)) for v in found)

    def _date(self, service: str, found: tuple[Version, ...]) -> None:
        """From the newest commits of the default branch, a hundred in one answer; the rest one by one while the budget lasts."""
        wanted = {v.commit for v in self._dated(service, found) if not v.released_at_us}
        if not wanted:
            return

        def enough(commits: tuple[Written, ...]) -> bool:
            return wanted <= {w.commit.id for w in commits} or len(commits) >= DATE_PAGES * PER_PAGE

        self.note(service, self._api.pages(self._api.path(service, "commits"), parse_commits, enough=enough))
        for version in self._dated(service, found):
            if not version.released_at_us:
                if not self._budget.take():
                    break
                self.note(service, (self._api.read(self._api.path(service, "commits", version.commit), parse_commit),))

    # comparisons

    def changes(self, service: Service, base: str, head: str, limit: int = 500) -> Changes:
        """Commits between two names, newest first.

        GitHub tells the files of a comparison as a whole: they stand with its newest commit. It compares whole repositories: with
        `service.path` the commits of that path are asked for too, and only those are kept.
        """
        for name in (base, head) if base else (head,):
            if _NO_REF_NAME.search(name) or len(name) > 1000:
                raise NotFound(f"“{one_line(name, 200)}” is neither a version's tag nor a commit.", hint="Was the tag deleted?")
        limit, path = max(1, limit), service.path.strip("/")
        if not base:
            return self._history(service.name, head, path, limit)
        coming, behind = self._between(service.name, base, head, path)
        leaving, _ = self._between(service.name, head, base, path) if behind else (_Side(), 0)
        return Changes(
            base, head, coming.commits[:limit], leaving.commits[:limit], coming.total, leaving.total, coming.people if coming.whole else ()
        )

    def _between(self, service: str, base: str, head: str, path: str) -> tuple[_Side, int]:
        """(what is on `head` only, how many are on `base` only)."""
        address = self._api.path(service, "compare", f"{base}...{head}")
        first = self._api.read(address, parse_comparison, {"per_page": PER_PAGE})
        written, pages = first.commits, -(-first.total // PER_PAGE)
        numbers = range(2, pages + 1) if pages <= PAGES_READ else range(max(2, pages - PAGES_READ + 2), pages + 1)
        if pages > PAGES_READ:
            written = ()  # the newest are on the last pages
        for number in numbers:
            written += self._api.read(address, parse_comparison, {"per_page": PER_PAGE, "page": number}).commits
        self.note(service, written)
        whole, total = pages <= PAGES_READ, first.total
        files = first.files
        if path and written:
            kept = self._touching(service, head, path, {w.commit.id for w in written})
            written = tuple(w for w in written if w.commit.id in kept)
            files, total = tuple(f for f in files if f == path or f.startswith(path + "/")), len(written) if whole else total
        commits = tuple(w.commit for w in reversed(written))
        if commits:
            commits = (replace(commits[0], files=files), *commits[1:])
        return _Side(commits, total, whole), first.behind

    def _touching(self, service: str, head: str, path: str, among: set[str]) -> set[str]:
        """Which of these commits touch a path: a list of a hundred in one answer, until a whole page is older than all of them."""

        def enough(commits: tuple[Written, ...]) -> bool:
            return len(commits) >= PAGES_READ * PER_PAGE or not any(w.commit.id in among for w in commits[-PER_PAGE:])

        found = self._api.pages(self._api.path(service, "commits"), parse_commits, {"sha": head, "path": path}, enough=enough)
        return {w.commit.id for w in found} & among

    def _history(self, service: str, head: str, path: str, limit: int) -> Changes:
        """All that leads to `head`; where the list is cut, GitHub counts only what was read."""
        params = {"sha": head} | ({"path": path} if path else {})

        def enough(commits: tuple[Written, ...]) -> bool:
            return len(commits) > limit

        found = self._api.pages(self._api.path(service, "commits"), parse_commits, params, enough=enough)
        self.note(service, found)
        return Changes("", head, tuple(w.commit for w in found[:limit]), total_in=len(found))


class _Side:
    """One direction of a comparison, newest first. `whole`: all its commits were read."""

    def __init__(self, commits: tuple[Commit, ...] = (), total: int = 0, whole: bool = True) -> None:
        self.commits, self.total, self.whole = commits, total, whole

    @property
    def people(self) -> tuple[str, ...]:
        """Who wrote all of it."""
        found = {address_of(c.email) for c in self.commits if c.email}
        return tuple(sorted(found | {address_of(person) for c in self.commits for person in c.co_authors}))
