"""The story that needs no click: a version that is bad in a wild market is announced, and rolled back by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtWidgets import QWidget

from cockpit.connectors.ports import DeployRequest
from cockpit.connectors.registry import create
from cockpit.domain.facts import place
from cockpit.domain.rollout import ActionState
from cockpit.domain.watching import AUTOMATIC, Watched, WatchState
from cockpit.playground import processes
from cockpit.services.notices import Notice
from cockpit.services.store import Change
from tests.e2e.story import BAD, GOOD, PRODUCTION, SERVICE, Edited, Story

AT = place(SERVICE, PRODUCTION)
MARKET = "crash"  # has the most requests a second: what takes a volatile one a minute and more is seen in half of it
NODES = tuple(f"{SERVICE}-{PRODUCTION}-{number}" for number in (1, 2))
SEEN = 800.0  # requests of the good version in the wild market, before anything bad comes
COUNTDOWN_S = 5
PATIENCE_S = 180.0  # all ends by what happens; so long may a slow machine take for one step


def automatic(text: str) -> str:
    """What a person changes in the file; without a limit in milliseconds, which one machine reaches and another does not."""
    for old, new in (
        ("automatic = false", "automatic = true\nsettle_s = 0"),
        ("countdown_s = 30", f"countdown_s = {COUNTDOWN_S}"),
        ("p99_ms = 20", "p99_ms = 0"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


class WatchStory(Story):
    """Deployments come from elsewhere, as a colleague's would: the window watches those, too."""

    def __init__(self, folder: Path, picture: Callable[[str, QWidget], None], size: tuple[int, int] = (1280, 800)) -> None:
        super().__init__(folder, picture, size)
        self._deployer: Any = None
        self._keys = 0
        self.announcements: list[str] = []
        self.told: list[str] = []
        self.cockpit.store.subscribe(self._hear)
        self.cockpit.notices.subscribe(self._noticed)

    def _hear(self, change: Change) -> None:
        watched = self.state.watches.get(AT)
        counted = watched.countdown if watched is not None else None
        if counted is not None and counted.why not in self.announcements:
            self.announcements.append(counted.why)

    def _noticed(self, notice: Notice) -> None:
        if notice.about == "countdown":
            self.told.append(f"{notice.title}: {notice.message} {notice.hint}")

    def launcher(self) -> Any:
        """With an automatic rollback in production."""
        return Edited(automatic)

    @property
    def watched(self) -> Watched:
        """The watch over production."""
        found: Watched = self.state.watches[AT]
        return found

    def wild(self) -> None:
        """The market turns before anything is deployed."""
        self.hand.click(next(b for b in self.window.header.banner.group.buttons() if b.text() == MARKET))
        self.wait(lambda: self.cockpit.playground is not None and self.cockpit.playground.regime() == MARKET, "a wild market")

    def arrive(self, version: str, *nodes: str) -> None:
        """A deployment that nobody began here, to these nodes or all."""
        if self._deployer is None:
            port = processes.read_run_file(self._directory, "deployer")["port"]
            self._deployer = create("deployment-v1", {"url": f"http://127.0.0.1:{port}"}, lambda: "")
        self.wait(lambda: self._version(version).digest, f"{version} is built")
        digest = self._version(version).digest
        self._keys += 1
        request = DeployRequest(SERVICE, PRODUCTION, version, digest, "deploy", "a colleague (made up)", nodes=nodes)
        self._deployer.deploy(request, f"story-{self._keys}")
        began = lambda: AT in self.state.watches and self.watched.version == version and self.watched.finished_us > 0  # noqa: E731
        self.wait(began, f"{version} deployed and watched", PATIENCE_S)

    def good_stays(self) -> None:
        """The good version on all nodes, in the wild market: watched, and nothing is announced."""
        self.arrive(GOOD)
        self.wait(lambda: self._unharmed() and self.watched.requests >= SEEN, "enough seen of the good version", PATIENCE_S)
        self.picture("22-good-version-in-a-wild-market")

    def _unharmed(self) -> bool:
        assert not self.announcements, self.announcements
        assert self.watched.state is not WatchState.BAD, self.watched
        return True

    def announced(self, name: str) -> None:
        """The bad version on half of the nodes: found beside those that serve the same market, and announced."""
        self.window.centre.go("watch")
        self.arrive(BAD, *NODES)
        self.wait(lambda: self.announcements, "an announced rollback", PATIENCE_S)
        self.picture(name)

    def rolled_back(self, name: str) -> None:
        """Nobody touches anything."""
        self.wait(lambda: bool(self.state.actions) and self.newest_action(PRODUCTION).state.final, "rolled back by itself", PATIENCE_S)
        action = self.newest_action(PRODUCTION)
        assert (action.state, action.kind, action.version) == (ActionState.DONE, "rollback", GOOD), action.message
        runs = lambda: {n.version for n in self.state.fleets[AT].value.nodes}  # noqa: E731 - of that moment
        self.wait(lambda: runs() == {GOOD}, "all nodes run the good version")
        (back,) = self.rollbacks()
        assert back.key == action.key
        assert back.reason.startswith(AUTOMATIC)
        self.linger(2.0)
        self.picture(name)
        self.window.centre.go("activity")
        self.picture(f"{name}-in-the-journal")
        assert self.cockpit.actions.verify_journal().ok

    def rollbacks(self) -> list[Any]:
        """What the deployer was told to take back."""
        return [d for d in self._deployer.history(SERVICE, PRODUCTION) if d.kind == "rollback"]

    def tell(self) -> None:
        """Without a person."""
        self.open()
        self.healthy()
        self.wild()
        self.good_stays()
        self.announced("23-announced")
        self.rolled_back("24-rolled-back-by-itself")

    def close(self) -> None:
        """The client, too."""
        if self._deployer is not None:
            self._deployer.close()
        super().close()
