"""One command's core: built, connected, and run until the sources that the command needs have answered."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from cockpit import app
from cockpit.app import Cockpit
from cockpit.cli_text import Out, plain
from cockpit.domain.errors import ConfigError, NotAllowed
from cockpit.domain.release import Version
from cockpit.paths import Paths
from cockpit.services import status
from cockpit.services.notices import Severity
from cockpit.services.runtime import LoopMainThread
from cockpit.services.silences import LANE as SILENCES

LOAD_S = 12.0
READ_S = 120.0  # for repositories of any size; git itself is ended after half a minute a question
HEAR_S = 40.0  # git is ended after half a minute a question
COMPARED = 48
CHUNK = 16  # comparisons asked for at a time
TOLD_S = 5.0
ELSEWHERE = ("latency", "activity", "approvals")  # notices that a command tells in its own words


class Session:
    """A cockpit and the loop that runs it. Everything here is on the main thread."""

    def __init__(self, cockpit: Cockpit, loop: LoopMainThread, out: Out) -> None:
        self.cockpit = cockpit
        self.loop = loop
        self.out = out
        self.result = 0
        self._late: list[str] = []

    # -- asking the sources ------------------------------------------------------------------------------------------------

    def load(self, *ports: str, timeout_s: float = LOAD_S) -> None:
        """Connect, and ask every source of these ports once."""
        self.cockpit.connect()
        self.loop.run_until(lambda: self.cockpit.ready or self._no_connection(), LOAD_S)
        self.refresh(*ports, timeout_s=timeout_s)

    def refresh(self, *ports: str, timeout_s: float = LOAD_S) -> None:
        """Ask the sources of these ports now and wait for their answers; those that give none are named among the problems."""
        cockpit, since_us = self.cockpit, self.cockpit.clock_us()
        mine = [c for c in cockpit.connections.all if set(ports) & set(c.ports)]
        for connected in mine:
            cockpit.sync.refresh_now(connected.id)

        def waiting() -> list[str]:
            return [c.title for c in mine if cockpit.sync.health(c.id).last_attempt_us < since_us]

        self.loop.run_until(lambda: not waiting(), timeout_s)
        self._late = waiting()

    def hear(self, limit_s: float = HEAR_S) -> None:
        """Take over what people said elsewhere, and who holds the locks, with what a remote has of it, as far as it answers in time."""
        late = self._late
        self.refresh("SignedWords", timeout_s=limit_s)
        self._late = list(dict.fromkeys((*late, *self._late)))
        self.cockpit.actions.decisions.poll()
        self.cockpit.locks.poll()
        self.barrier("journal")
        self.barrier("locks", limit_s)

    def changes(self, wanted: Iterable[tuple[str, str, str]]) -> None:
        """Have the commits between these versions (service, base, head) read, as far as the repositories answer.

        The first COMPARED of them: each may cost a second and more where the history is long.
        """
        pairs = [p for p in dict.fromkeys(wanted) if p[2] and p[1] != p[2]][:COMPARED]
        for start in range(0, len(pairs), CHUNK):
            part, stalled = pairs[start : start + CHUNK], 0
            while stalled < 2 and (missing := self._missing(part)):
                for pair in missing:
                    self.cockpit.sync.want_changes(*pair)
                self.refresh("SourceControl", timeout_s=READ_S)
                stalled = 0 if len(self._missing(part)) < len(missing) else stalled + 1

    def _missing(self, pairs: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
        state = self.cockpit.store.state
        known = [p for p in pairs if status.commit_of(state, p[0], p[2])]
        return [p for p in known if status.changes_between(state, *p) is None]

    def barrier(self, lane: str, timeout_s: float = LOAD_S) -> bool:
        """Wait until what was submitted to a lane so far is done."""
        passed: list[bool] = []
        self.cockpit.runner.submit(lane, lambda: None, lambda outcome: passed.append(True))
        return self.loop.run_until(lambda: bool(passed), timeout_s)

    def told(self, *lanes: str) -> None:
        """Wait for what follows an action: these lanes (what left is held, the lock is given back), silences released, people told."""
        for lane in lanes:
            self.barrier(lane)
        # the second time for what the first answer led to
        for lane in (SILENCES, SILENCES, *self.cockpit.trust.telling.lanes):
            self.barrier(lane, TOLD_S)

    def _no_connection(self) -> bool:
        return any(n.key == "connect" for n in self.cockpit.notices.history)

    # -- what went wrong ---------------------------------------------------------------------------------------------------

    def problems(self) -> list[dict[str, str]]:
        """What is wrong with sources, settings and data, oldest first."""
        loud = (Severity.WARNING, Severity.ERROR)
        told = [n for n in reversed(self.cockpit.notices.history) if n.severity in loud and not n.over and n.place not in ELSEWHERE]
        found = [{"title": n.title, "message": n.message, "hint": n.hint} for n in told]
        hint = "What is shown of it is older; ask again."
        return found + [
            {"title": f"{title}: no answer yet", "message": f"It did not answer in {LOAD_S:.0f} s.", "hint": hint} for title in self._late
        ]

    def tell_problems(self) -> None:
        """The same for a person, on standard error."""
        for problem in self.problems():
            words = " ".join(plain(problem[name]) for name in ("message", "hint") if problem[name])
            self.out.tell(f"▲ {plain(problem['title'])}. {words}")
        down = any(health.problem for health in self.cockpit.store.state.sources.values())
        if down and not self.cockpit.paths.config.exists():
            self.out.tell("  These systems are the playground's: `release-cockpit playground start` starts what is down.")

    # -- names that a person typed -----------------------------------------------------------------------------------------

    def services(self, name: str = "") -> list[str]:
        """All services, or the one of that name; NotAllowed with the nearest name for another."""
        known = [s.name for s in self.cockpit.store.state.services]
        if not known:
            raise ConfigError("No service is named in the settings.", hint="Add one: [services.NAME] with its repository.")
        if name and name not in known:
            raise unknown_name("service", name, known)
        return [name] if name else known

    def environments(self, name: str = "") -> list[str]:
        """All environments by rank, or the one of that name; [""] where the settings name none."""
        known = [e.name for e in self.cockpit.store.state.environments]
        if name and name not in known:
            raise unknown_name("environment", name, known)
        return [name] if name else known or [""]

    def version(self, service: str, name: str) -> Version:
        """The version of that name or tag; NotAllowed with the nearest names for another."""
        state = self.cockpit.store.state
        known = status.versions(state, service)
        found = next((v for v in known if name == v.tag), None) or status.version_of(state, service, name)
        if found is None:
            raise unknown_name("version", name, [v.name for v in known])
        return found


def unknown_name(kind: str, name: str, known: list[str]) -> NotAllowed:
    """The refusal of a name that is not known, with what was probably meant."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known[:5]
    hint = f"Known: {', '.join(plain(n, 80) for n in near)}." if near else f"No {kind} is known yet."
    return NotAllowed(f"There is no {kind} “{plain(name, 80)}”.", hint=hint, title=f"Unknown {kind}")


def begin_hint() -> NotAllowed:
    """What to do on a machine where nothing was set up yet."""
    return NotAllowed(
        "There are no settings yet, and the playground was never started.",
        hint="Start the window (`release-cockpit`) or `release-cockpit playground start`; for a repository: `release-cockpit open PATH`.",
        title="Nothing to show yet",
    )


@contextmanager
def session(paths: Paths, out: Out, *, looks_back: bool = False) -> Iterator[Session]:
    """A core on the person's settings, beside a window that may be open; closed at the end.

    `looks_back`: for what is read from the database alone, which outlives settings and playground.
    """
    if app.config_in_use(paths) is None and not (looks_back and paths.database.exists()):
        raise begin_hint()
    loop = LoopMainThread()
    cockpit = app.build(paths, loop, owner=False)
    try:
        _look_at_policy(cockpit)
        yield Session(cockpit, loop, out)
    finally:
        cockpit.close()


def _look_at_policy(cockpit: Cockpit) -> None:
    """A file here is looked at each time; a shared policy, which a network may be before, only where nothing of it is in force yet."""
    policy, start = cockpit.policy, cockpit.policy_start
    if policy is not None and start is not None and (start.waiting or not start.settings.policy.repository):
        policy.apply(policy.look())


def people(commits: Iterable[Any], field: str) -> list[str]:
    """Each person of these commits once, in the order of the commits."""
    found: dict[str, None] = {}
    for commit in commits:
        value = getattr(commit, field)
        for person in (value,) if isinstance(value, str) else value:
            found.setdefault(person)
    return list(found)
