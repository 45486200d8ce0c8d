"""The story of a bad release, told by clicks in the real window on real processes. The tour and a test both tell it."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEventLoop, QModelIndex, QPoint, QRect, QSettings, Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QAbstractItemView, QWidget

from cockpit.app import Cockpit, build, playground_launcher
from cockpit.domain.facts import place
from cockpit.domain.rollout import Action, ActionState, LineState, RolloutPlan
from cockpit.paths import find_paths
from cockpit.services import status
from ui.bridge import QtMainThread
from ui.main_window import MainWindow
from ui.widgets.arming import GUARD_S

SERVICE, STAGING, PRODUCTION = "order-gateway", "staging", "production"
GOOD, BAD = "1.6.1", "1.7.0"
BASELINE_POINTS = 13  # a band needs ten


class Edited:
    """The playground's launcher; its settings are changed as a person would, in the file, before anything reads them."""

    def __init__(self, edit: Callable[[str], str]) -> None:
        self._edit = edit

    def start(self, directory: Path, progress: Callable[[str], None]) -> Any:
        """Start it, then change the file."""
        status, path = playground_launcher().start(directory, progress), directory / "cockpit.toml"
        path.write_text(self._edit(path.read_text("utf-8")), "utf-8")
        return status

    def __getattr__(self, name: str) -> Any:
        return getattr(playground_launcher(), name)


class Hand:
    """Clicks: through the X server where there is one, so that they are what a person's would be; else through Qt."""

    def __init__(self) -> None:
        tool = shutil.which("xdotool") if QGuiApplication.platformName() == "xcb" else None
        self._xdotool = tool or ""

    def click(self, widget: QWidget, at: QPoint | None = None) -> None:
        """One left click in the middle of the widget, or at a point in it."""
        point = at or widget.rect().center()
        if not self._xdotool:
            QTest.mouseClick(widget, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, point)
            return
        there = widget.mapToGlobal(point) * widget.devicePixelRatio()
        subprocess.run([self._xdotool, "mousemove", str(int(there.x())), str(int(there.y())), "click", "1"], check=True)

    def click_row(self, view: QAbstractItemView, index: QModelIndex) -> None:
        """Click the middle of a cell."""
        assert index.isValid(), f"no such row in {view.accessibleName()}"
        view.scrollTo(index)
        box: QRect = view.visualRect(index)
        self.click(view.viewport(), box.center())


class Story:
    """The window, the core below it, and the steps. `picture` is called with a name at each moment worth a look."""

    lingers = True

    def __init__(self, folder: Path, picture: Callable[[str, QWidget], None], size: tuple[int, int] = (1280, 800)) -> None:
        self.main = QtMainThread()
        self.cockpit: Cockpit = build(find_paths(folder), self.main)
        self.window = MainWindow(self.cockpit, QSettings(str(folder / "window.ini"), QSettings.Format.IniFormat))
        self.window.resize(*size)
        self.hand = Hand()
        self.figures: dict[str, float] = {}
        self._picture = picture
        self._directory = self.cockpit.paths.playground

    # -- small things --------------------------------------------------------------------------------------------------------

    def wait(self, ready: Callable[[], Any], what: str, timeout_s: float = 60.0) -> None:
        """Let the window live until something is so."""
        loop, end = QEventLoop(), time.monotonic() + timeout_s
        timer = QTimer()
        timer.setInterval(20)

        def look() -> None:
            if ready() or time.monotonic() > end:
                loop.quit()

        timer.timeout.connect(look)
        timer.start()
        loop.exec()
        timer.stop()
        notices = [(n.title, n.message) for n in self.cockpit.notices.history[:5]]
        card = self.window.card.machine
        assert ready(), f"not within {timeout_s:g} s: {what}; card {card.phase.name}: {card.said!r}; notices: {notices}"

    def linger(self, seconds: float) -> None:
        """Stay with what is to be seen on the next picture; nobody waits for that where none are kept."""
        self.settle(seconds if self.lingers else 0.0)

    def settle(self, seconds: float = 0.3) -> None:
        """Let what was painted become a picture."""
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > end, "time passing")

    def picture(self, name: str) -> None:
        """Leave a picture of this moment."""
        self.linger(0.3)
        self._picture(name, self.window)

    @property
    def state(self) -> Any:
        return self.cockpit.store.state

    def newest_action(self, environment: str, service: str = SERVICE) -> Action:
        """The newest action of that place."""
        mine = [a for a in self.state.actions.values() if (a.service, a.environment) == (service, environment)]
        return max(mine, key=lambda a: a.intended_at_us)

    def select(self, environment: str, service: str = SERVICE) -> None:
        """Choose a cell of the overview."""
        view = self.window.overview.matrix
        model = view.model()
        for row in range(model.rowCount()):
            for column in range(model.columnCount()):
                cell = model.cell(model.index(row, column))
                if cell is not None and (cell.service, cell.environment) == (service, environment):
                    self.hand.click_row(view, model.index(row, column))
        self.wait(lambda: (self.window.service, self.window.environment) == (service, environment), f"{environment} selected")

    # -- the steps -----------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """The window stands; then the playground comes up."""
        self.window.show()
        self.wait(self.window.isVisible, "the window")
        self.picture("01-first-window")
        self.cockpit.start(self.launcher())

    def launcher(self) -> Any:
        """What starts the playground."""
        return playground_launcher()

    def healthy(self) -> None:
        """Every place is known, tests of the pending versions have passed, latency is seen."""
        self.wait(lambda: len(self.state.fleets) == 6 and not self.state.starting, "all places known", 120)
        self.wait(lambda: all(f.value.agreement[0] == len(f.value.nodes) > 0 for f in self.state.fleets.values()), "all nodes agree")
        self.select(PRODUCTION)
        self.wait(lambda: place(SERVICE, PRODUCTION) in self.state.latency, "latency seen")
        self.picture("02-healthy")

    def tests_pass(self, version: str, name: str) -> None:
        """CI runs the version's suites; they are watched while they run."""
        self.window.centre.go("checks")
        self.window.centre.show_version(version)
        self.linger(1.0)
        self.picture(name)
        self.wait(lambda: status.checks(self.state, self._version(version), self.cockpit.rules).state == "passed", f"{version} passed", 240)

    def choose(self, version: str, environment: str, service: str = SERVICE) -> None:
        """Choose the version; the card shows its deployment."""
        self.select(environment, service)
        self.window.centre.go("versions")
        view = self.window.centre.view("versions")
        self.wait(lambda: self._row(view.table, version).isValid(), f"{version} pending in {environment}")
        self.hand.click_row(view.table, self._row(view.table, version))
        self.wait(lambda: view.version is not None and view.version.name == version, f"{version} selected")
        self.hand.click(view.act_button)
        self.wait(lambda: self.window.card.mode == ("deploy", version), "the card shows the deployment")

    def deploy(self, version: str, environment: str, name: str, service: str = SERVICE) -> None:
        """Choose the version, arm, fire, follow to the proof."""
        self.choose(version, environment, service)
        card = self.window.card
        self.wait(lambda: isinstance(card.machine.plan, RolloutPlan), f"{version} may go to {environment}", 60)
        self._arm_and_fire(f"{name}-armed")
        self.wait(lambda: self.newest_action(environment, service).state.final, "the end of the deployment", 120)
        action = self.newest_action(environment, service)
        assert (action.version, action.state) == (version, ActionState.DONE), action.message
        # the card hears of it a little later than the store
        self.wait(card.done_button.isVisible, "the proof")
        self.picture(f"{name}-done")
        self.hand.click(card.done_button)
        self.wait(lambda: card.machine.phase.name != "PROOF", "the proof dismissed")

    def approve(self, version: str, name: str) -> None:
        """Four eyes: an approval of exactly this commit and digest."""
        self.select(PRODUCTION)
        self.window.centre.go("approvals")
        view = self.window.centre.view("approvals")
        view.show_version(version)
        self.wait(lambda: not self.cockpit.words.why_not_approve(self._version(version), PRODUCTION), "approval possible")
        self.hand.click(view.comment)
        QTest.keyClicks(view.comment, f"read the changes of {version}")
        before = len(self.state.approvals)
        self.hand.click(view.approve_button)
        self.wait(lambda: len(self.state.approvals) == before + 1, "the approval recorded")
        self.picture(name)

    def gather_baseline(self) -> None:
        """Until enough was seen of the version now live."""
        since = self.newest_action(PRODUCTION).ended_at_us + 6_000_000
        book, at = self.cockpit.latency, place(SERVICE, PRODUCTION)
        seen = lambda: sum(v is not None for v in book.p99(at, since, self.cockpit.clock_us()))  # noqa: E731 - a question, asked often
        self.wait(lambda: seen() >= BASELINE_POINTS, "a baseline", 120)

    def market_turns(self) -> None:
        """Volatile flow: the book deepens, p99 leaves its band, and the window says so."""
        self.select(PRODUCTION)
        self.window.centre.go("latency")
        self.settle()  # a page takes its places when it is first seen
        buttons = self.window.centre.view("latency").findChildren(QAbstractButton)
        self.hand.click(next(b for b in buttons if b.text() == "5 m" and b.isVisible()))
        self.linger(2.0)
        self.picture("09-calm-with-the-bad-version")
        banner = self.window.header.banner
        self.hand.click(next(b for b in banner.group.buttons() if b.text() == "volatile"))
        status_of = lambda: self.state.latency[place(SERVICE, PRODUCTION)].value  # noqa: E731 - a question, asked often
        self.wait(lambda: status_of().outside is True, "p99 outside of its band", 120)
        told = [n for n in self.cockpit.notices.history if "left its band" in n.title and not n.over]
        assert told, "the window says nothing"
        self.linger(6.0)
        self.picture("10-p99-left-its-band")

    def roll_back(self) -> None:
        """Two informed clicks, then every node verified and p99 back."""
        card = self.window.card
        card.show_rollback()
        self.wait(lambda: isinstance(card.machine.plan, RolloutPlan), "a rollback is possible")
        assert card.machine.plan.target.name == GOOD
        clicked = time.monotonic()
        self._arm_and_fire("11-rollback-armed")
        fired = self.figures.pop("fired")
        assert fired >= clicked
        self.wait(lambda: self.newest_action(PRODUCTION).accepted_at_us > 0, "accepted")
        self.figures["click to accepted"] = time.monotonic() - fired
        self.linger(1.0)
        self.picture("12-rollback-under-way")
        self.wait(lambda: self.newest_action(PRODUCTION).state.final, "all nodes verified", 120)
        self.figures["click to all nodes verified"] = time.monotonic() - fired
        action = self.newest_action(PRODUCTION)
        assert (action.state, action.kind, action.version) == (ActionState.DONE, "rollback", GOOD), action.message
        self.picture("13-rollback-verified")
        back = lambda: any(n.place == "latency" and n.state is LineState.OK for n in self.newest_action(PRODUCTION).proof)  # noqa: E731
        self.wait(back, "p99 back in its band", 120)
        self.figures["click to p99 back in band"] = time.monotonic() - fired
        self.linger(8.0)
        self.picture("14-latency-back")

    def the_record(self) -> None:
        """The journal tells it all, and verifies."""
        self.window.centre.go("activity")
        self.picture("20-journal")
        self.window.centre.go("sources")
        self.picture("21-sources")
        assert self.cockpit.actions.verify_journal().ok

    def tell(self) -> None:
        """All of it, in order."""
        self.open()
        self.healthy()
        self.tests_pass(GOOD, "03-tests-of-the-good-version")
        self.deploy(GOOD, STAGING, "04-good-to-staging")
        self.approve(GOOD, "05-good-approved")
        self.deploy(GOOD, PRODUCTION, "06-good-to-production")
        self.tests_pass(BAD, "07-tests-of-the-bad-version")
        self.gather_baseline()
        self.deploy(BAD, STAGING, "08a-bad-to-staging")
        self.approve(BAD, "08b-bad-approved")
        self.deploy(BAD, PRODUCTION, "08c-bad-to-production")
        self.market_turns()
        self.roll_back()
        self.the_record()

    def close(self) -> None:
        """The window, the core and the playground."""
        self.window.close()
        self.window.deleteLater()
        self.cockpit.close()
        self.main.close()
        playground_launcher().stop(self._directory)

    # -- more small things ---------------------------------------------------------------------------------------------------

    def _arm_and_fire(self, name: str) -> None:
        card = self.window.card
        self.settle(0.2)
        self.hand.click(card.button)
        self.wait(lambda: card.machine.phase.name == "ARMED", "armed")
        self.picture(name)
        self.settle(1.5 * GUARD_S)
        self.figures["fired"] = time.monotonic()
        self.hand.click(card.button)
        self.wait(lambda: card.machine.action is not None and not card.button.isVisible(), "fired", 10)

    def _version(self, name: str) -> Any:
        found = status.version_of(self.state, SERVICE, name)
        assert found is not None, f"{name} is not known"
        return found

    def _row(self, table: Any, version: str) -> QModelIndex:
        model = table.model()
        for row in range(model.rowCount()):
            index = model.index(row, 0)
            if model.row(index).version.name == version:
                return QModelIndex(index)
        return QModelIndex()
