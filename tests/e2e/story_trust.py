"""The rest of the story: two keys approve, what was rolled back is held, production freezes, and two services go back together."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtWidgets import QPushButton, QWidget

from cockpit.app import playground_launcher
from cockpit.domain.facts import place
from cockpit.domain.rollout import Refusal
from cockpit.domain.statements import holds
from cockpit.domain.strategy import Rollout, RolloutState
from tests.e2e.story import BAD, GOOD, PRODUCTION, SERVICE, STAGING, Edited, Story

OTHER, NEWER = "market-data", "2.4.0"
MIRA = "mira.voss@playground.invalid"


def two_approvers(text: str) -> str:
    """A policy that wants two approvals for production."""
    changed = re.sub(r"(\[environments\.production\][^\[]*?approvals = )1", r"\g<1>2", text)
    assert changed.count("approvals = 2") == 1
    return changed


class TrustStory(Story):
    """The whole story, with a second person who sits at another data directory."""

    def __init__(self, folder: Path, picture: Callable[[str, QWidget], None], size: tuple[int, int] = (1280, 800)) -> None:
        super().__init__(folder, picture, size)
        self._other = folder.parent / f"{folder.name}-mira"

    def launcher(self) -> Any:
        """Two people must approve."""
        return Edited(two_approvers)

    def approve(self, version: str, name: str) -> None:
        """First the person at this window, then a colleague, each with a key of their own."""
        super().approve(version, name)
        assert not self._decided(version).ok
        before = len(self.state.approvals)
        self._mira("approve", SERVICE, version, PRODUCTION, "--comment", f"tried {version} on staging")
        self.wait(lambda: len(self.state.approvals) == before + 1, "the colleague's approval seen here")
        decided = self._decided(version)
        signers = {v.approval.who: v.approval.signer for v in decided.votes if v.counts}
        assert decided.ok, decided.reasons
        assert MIRA in signers
        assert len({s for s in signers.values() if s.startswith("SHA256:")}) == 2, signers
        self.picture(f"{name}-by-two-keys")

    def _decided(self, version: str) -> Any:
        from cockpit.services import status

        return status.decision(self.state, self._version(version), PRODUCTION, self.cockpit.rules, self.cockpit.clock_us())

    def _mira(self, *words: str) -> None:
        config = self._other / "cockpit.toml"
        if not config.exists():
            self._other.mkdir()
            text = (self._directory / "cockpit.toml").read_text("utf-8")
            for old, new in (("You", "Mira Voss (made up)"), ("you@playground.invalid", MIRA), ("keys/you", "keys/mira")):
                text = text.replace(f'"{old}"', f'"{new}"', 1)
            for relative in ("repo", "calendar.ics", "keys/allowed_signers", "keys/mira"):
                text = text.replace(f'"{relative}"', f'"{self._directory.resolve() / relative}"')
            config.write_text(text, "utf-8")
        command = [sys.executable, "-m", "ui", "--data-dir", str(self._other), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    def held(self) -> None:
        """What was rolled back is held: nobody deploys it again until a person clears it."""
        self.wait(lambda: any(h.version == BAD for h in holds(self.state.statements)), f"{BAD} is held")
        card = self.window.card
        self.wait(card.done_button.isVisible, "the proof")
        self.hand.click(card.done_button)
        self.choose(BAD, PRODUCTION)
        self.wait(lambda: isinstance(card.machine.plan, Refusal), "a held version is refused")
        self.hand.click(card.button)
        self.settle()
        plan = card.machine.plan
        assert isinstance(plan, Refusal), "a held version may be deployed"
        assert any("held" in reason.text for reason in plan.reasons), plan.reasons
        self.picture("15-held-version-refused")

    def freeze(self) -> None:
        """The venue's calendar freezes production; the window says until when, and what is safe next."""
        playground_launcher().freeze(self._directory, 30)
        frozen = lambda: self.cockpit.calendars.freezes_of(self.state, self.cockpit.rules, PRODUCTION, self.cockpit.clock_us(), 60.0)  # noqa: E731
        self.window.refresh_sources()
        self.wait(lambda: frozen().now, "production is frozen")
        assert frozen().safe is not None
        self.window.centre.go("freezes")
        self.linger(1.5)
        self.picture("16-frozen-with-the-next-safe-window")
        card = self.window.card
        card.show_rollback()
        self.wait(lambda: any("exempt" in line.text for line in getattr(card.machine.plan, "preflight", ())), "a rollback is exempt")
        playground_launcher().freeze(self._directory, 0)
        self.window.refresh_sources()
        self.wait(lambda: not frozen().now, "the freeze is over")

    def back_together(self) -> None:
        """Two services of staging go back in the order of their dependencies, with two clicks; rehearsed before."""
        self.deploy(NEWER, STAGING, "17-the-other-service-to-staging", OTHER)
        self.select(STAGING)
        card = self.window.card
        card.show_rollback()
        way = lambda: next((b for b in card.ways.buttons if b.objectName() == "set:trading" and b.isVisible()), None)  # noqa: E731
        self.wait(lambda: way() is not None, "going back together is offered")
        self._click(way)
        self.wait(lambda: isinstance(card.machine.plan, Rollout), "the plan of the set", 30)
        self.settle()
        if card.reason.isVisible():
            self.hand.click(card.reason)
            from PySide6.QtTest import QTest

            QTest.keyClicks(card.reason, "both go back for the demonstration")
        self._arm_and_fire("18-set-armed")
        self.figures.pop("fired")
        newest = lambda: max(self.state.rollouts.values(), key=lambda r: r.started_at_us)  # noqa: E731
        self.wait(lambda: newest().state.final, "both went back", 120)
        assert newest().state is RolloutState.DONE, newest().message
        live = {s: self.state.fleets[place(s, STAGING)].value.live.version for s in (SERVICE, OTHER)}
        assert live == {SERVICE: GOOD, OTHER: "2.3.0"}, live
        self.picture("19-two-services-went-back")

    def _click(self, which: Callable[[], QPushButton | None]) -> None:
        button = which()
        assert button is not None
        self.hand.click(button)

    def roll_back(self) -> None:
        """The rollback of the story, then what follows from it."""
        super().roll_back()
        self.held()
        self.freeze()
        self.back_together()
