"""A window in which people say things: a store that knows one service in production, a journal, decisions and words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cockpit.domain.errors import ConnectorError
from cockpit.domain.facts import Fact, place
from cockpit.domain.policy import Rules
from cockpit.domain.release import Artifact, Changes, Commit, Environment, Fleet, Node, Service, Version
from cockpit.domain.statements import Statement
from cockpit.services.actions import Person
from cockpit.services.decisions import Decisions
from cockpit.services.notices import Notices
from cockpit.services.store import Store, changes_key
from cockpit.services.words import Words
from cockpit.storage.database import open_database
from cockpit.storage.journal import Journal
from tests.fakes.running import FakeMain, InlineRunner

NEW, OLD = "1.8.0", "1.7.0"


class FakeKeeper:
    """SignedWords in memory: signs as `who`; `trouble` is raised by the next calls."""

    def __init__(self, who: str = "ada@example.org") -> None:
        self.who = who
        self.kept: list[Statement] = []
        self.trouble: dict[str, ConnectorError] = {}
        self.syncs = 0

    def _meet(self, call: str) -> None:
        if call in self.trouble:
            raise self.trouble[call]

    def statements(self) -> tuple[Statement, ...]:
        self._meet("statements")
        return tuple(self.kept)

    def sign(self, statement: Statement) -> Statement:
        from msgspec.structs import replace

        self._meet("sign")
        word = replace(statement, who=self.who, name=self.who, id=f"tag{len(self.kept)}", source="git", signer="SHA256:key")
        self.kept.append(word)
        self._meet("share")
        return word

    def sync(self) -> None:
        self.syncs += 1
        self._meet("sync")


class Window:
    """Ada's window on the gateway in production: 1.7.0 runs, 1.8.0 is built and written by Bob."""

    def __init__(self, folder: Path, clock: Any, rules: Rules | None = None) -> None:
        self.clock, self.main, self.store, self.notices = clock, FakeMain(clock), Store(), Notices(clock)
        self.database = open_database(folder / "cockpit.sqlite")
        self.journal = Journal(self.database, "here:1:1", clock)
        self.runner = InlineRunner(self.main)
        self.decisions = Decisions(self.store, self.runner, self.journal, self.notices)
        self.words = Words(self.store, self.decisions, self.notices, clock)
        self.act_as("Ada", "ada@example.org")
        self.rule(rules or Rules())
        self.know()

    def rule(self, rules: Rules) -> None:
        self.words.rules = rules
        self.decisions.instruct(rules)

    def act_as(self, name: str, email: str) -> None:
        self.words.me = Person(name, email)

    def know(self, live: str = OLD, digest: str = "d8", commit: str = "c8") -> None:
        """What the systems said just now."""
        now, digests, commits = self.clock(), {NEW: digest, OLD: "d7"}, {NEW: commit, OLD: "c7"}
        versions = tuple(Version("gw", name, f"v{name}", commits[name], now) for name in (NEW, OLD))
        nodes = tuple(Node(f"n{i}", "gw", "prod", live, commits[live], digests[live], True) for i in range(2))
        changes = Changes(OLD, NEW, (Commit("c8", "Bob", "bob@example.org", 1, "faster"),), total_in=1)
        self.store.apply(
            services=(Service("gw"),),
            environments=(Environment("prod", 1, True, 1),),
            versions={"gw": Fact(versions, now, "git")},
            artifacts={"gw": Fact(tuple(Artifact("gw", v.name, v.commit, digests[v.name], now) for v in versions), now, "dep")},
            fleets={place("gw", "prod"): Fact(Fleet("gw", "prod", nodes), now, "dep")},
            changes={changes_key("gw", "c7", commit): Fact(changes, now, "git")},
        )

    @property
    def version(self) -> Version:
        return Version("gw", NEW, f"v{NEW}", "c8", 0, "d8")

    @property
    def statements(self) -> tuple[Statement, ...]:
        return self.store.state.statements

    @property
    def told(self) -> list[str]:
        """Titles and messages, oldest first."""
        return [f"{n.severity}: {n.title}: {n.message}" for n in sorted(self.notices.history, key=lambda n: n.id)]

    def close(self) -> None:
        self.database.close()
