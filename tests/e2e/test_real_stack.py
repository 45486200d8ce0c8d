"""One release of somebody else's real service through somebody's real systems, seen and steered in the real window."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QSettings, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton

from cockpit.app import Cockpit, build
from cockpit.domain.checks import CheckState
from cockpit.domain.facts import place
from cockpit.domain.strategy import RolloutState, StepState
from cockpit.paths import find_paths
from cockpit.services import status
from cockpit.services.latency import series_id
from tests.e2e.real_stack import PLACE, SERVICE, TOKENS, Stack, real_stack
from tests.fakes.matching_rig import BROKEN, GOOD, Callers
from ui.bridge import QtMainThread
from ui.main_window import MainWindow
from ui.theme import apply
from ui.widgets.arming import GUARD_S, Phase

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
AT = place(SERVICE, PLACE)
LEFT = Qt.MouseButton.LeftButton


class Desk:
    """The window of the person who releases."""

    def __init__(self, qtbot: Any, stack: Stack) -> None:
        self.qtbot, self.stack = qtbot, stack
        self.main = QtMainThread()
        self.cockpit: Cockpit = build(find_paths(stack.data), self.main)
        self.cockpit.start()
        self.window = MainWindow(self.cockpit, QSettings(str(stack.data / "window.ini"), QSettings.Format.IniFormat))
        self.window.show()

    def close(self) -> None:
        self.window.close()
        self.window.deleteLater()
        self.cockpit.close()
        self.main.close()

    @property
    def state(self) -> Any:
        return self.cockpit.store.state

    def until(self, ready: Callable[[], Any], what: str, timeout_s: float = 60.0) -> None:
        def told() -> str:
            notices = [(n.title, n.message) for n in self.cockpit.notices.history]
            health = {s.id: (s.state(self.cockpit.clock_us()), s.problem and s.problem.message) for s in self.state.sources.values()}
            card = self.window.card.as_text()
            self.window.grab().save(str(self.stack.data / "window.png"))
            return f"{what}: {card}\n{notices} {health} {[(r.state, r.steps) for r in self.state.rollouts.values()]}"

        try:
            self.qtbot.waitUntil(lambda: bool(ready()), timeout=int(timeout_s * 1000))
        except Exception as error:
            raise AssertionError(told()) from error

    def press(self, button: QPushButton) -> None:
        assert button.isVisible(), button.text()
        QTest.mouseClick(button, LEFT)

    def twice(self, button: QPushButton, armed: Callable[[], Any], done: Callable[[], Any], what: str) -> None:
        """Two informed clicks: what arms is read before it fires."""
        self.until(button.isEnabled, f"{what} is possible")
        self.press(button)
        read_s = time.monotonic() + GUARD_S * 1.5  # sooner it would be the rest of the first click
        self.until(lambda: armed() and time.monotonic() > read_s, f"{what}: armed")
        self.press(button)
        self.until(done, what)

    # what the window knows

    def running(self) -> dict[str, str]:
        fact = self.state.fleets.get(AT)
        return {n.name: n.version for n in fact.value.nodes} if fact else {}

    def errors_of(self, node: str) -> float:
        """Its share of errors in the last seconds, as the latency view draws it."""
        now = self.cockpit.clock_us()
        seen = self.cockpit.latency.columns(series_id(AT, node), now - 8_000_000, now).error_ratio
        return float(seen[-1]) if len(seen) else -1.0

    def firing(self) -> list[str]:
        return [a.name for fact in self.state.alerts.values() for a in fact.value if (a.service, a.environment) == (SERVICE, PLACE)]

    def rollout(self) -> Any:
        return max(self.state.rollouts.values(), key=lambda r: r.started_at_us, default=None)


@pytest.fixture
def desk(qtbot: Any, qapp: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    for name, value in TOKENS.items():
        monkeypatch.setenv(name, value)
    apply(qapp, "dark")
    with real_stack(tmp_path / "stack") as stack:
        made = Desk(qtbot, stack)
        try:
            yield made
        finally:
            made.close()


def test_a_canary_of_a_really_broken_release_is_taken_out(desk: Desk, tmp_path: Path) -> None:
    with Callers(desk.stack.front) as callers:
        desk.until(lambda: desk.running() == {"1": GOOD, "2": GOOD}, "both nodes run the good release")
        desk.until(lambda: [v.name for v in status.pending_versions(desk.state, SERVICE, PLACE)] == [BROKEN], "the new release is pending")
        desk.until(lambda: desk.state.checks.get(SERVICE) and len(desk.state.checks[SERVICE].value) == 2, "Buildbot's builds are seen")
        newest = desk.state.checks[SERVICE].value[0]
        assert (newest.version, newest.state) == (BROKEN, CheckState.PASSED)
        desk.until(lambda: desk.errors_of("1") == 0.0, "the good release makes no errors")

        card = desk.window.card
        card.show_deploy(BROKEN)
        held = lambda: desk.rollout() and any(run.state is StepState.HELD for run in desk.rollout().steps)  # noqa: E731
        desk.twice(card.button, lambda: card.machine.phase is Phase.ARMED, held, "the canary runs and waits for a person")
        assert desk.running() == {"1": GOOD, "2": BROKEN}
        weights = desk.cockpit.connections.by_id("balancer").connector.weights(SERVICE, PLACE)
        assert weights == {"1": 90, "2": 10}

        desk.until(lambda: desk.errors_of("2") > 0.05, "the break is seen as a share of errors on the canary")
        assert desk.errors_of("1") == 0.0
        desk.until(lambda: "ErrorShare" in desk.firing(), "the alert is seen")
        desk.window.grab().save(str(tmp_path / "held.png"))

        back = card.rollout_page.buttons["back"]
        over = lambda: desk.rollout().state.final  # noqa: E731
        desk.twice(back, lambda: back.property("role") == "sure", over, "the way back has ended")
        assert desk.rollout().state is RolloutState.BACK, desk.rollout()
        desk.until(lambda: desk.running() == {"1": GOOD, "2": GOOD}, "all nodes run the good release again")
        desk.until(lambda: "ErrorShare" not in desk.firing(), "the alert clears", 90.0)
        refused, fine = callers.seen["/reset", 422], callers.seen["/reset", 200]
        assert refused > 0
        desk.until(lambda: callers.seen["/reset", 200] >= fine + 25, "callers are served")
        assert callers.seen["/reset", 422] == refused, "nobody meets the broken release any more"
        desk.window.grab().save(str(tmp_path / "back.png"))
    assert desk.cockpit.journal.verify().ok
