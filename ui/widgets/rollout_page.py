"""What the action card shows of several steps: the plan before, where it is while it runs, and what became of each afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QSizePolicy, QWidget

from cockpit.domain.rollout import Action, LineState, Refusal, RolloutPlan
from cockpit.domain.strategy import Rollout, RolloutState, StepState
from ui.models.steps import NOTE, order_rule, rollout_words, step_rows
from ui.models.text import duration_text, plain, plural
from ui.widgets.card_pages import Page, against_rows
from ui.widgets.texts import Row, RowContent, RowList, Text, scrolled

WAYS = (("go on", "Go on"), ("back", "Go back"), ("stop", "Stop"), ("rehearse", "Rehearse"))
_OVER = (StepState.DONE, StepState.SKIPPED, StepState.UNDONE)


class RolloutPage(Page):
    """The steps of a rollout. `pressed` carries the name of a way: go on, back, stop or rehearse."""

    pressed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.outcome = Row(self)
        self.time = Text(parent=self)
        self.rehearsed = Row(self)
        self.bar = QProgressBar(self)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(4)
        self.bar.setAccessibleName("Steps done")
        self.rows = RowList("Steps", self)
        self.rows.went.connect(self.went)
        self.buttons: dict[str, QPushButton] = {}
        for widget in (self.outcome, self.time, self.rehearsed, self.bar):
            self.box.addWidget(widget)
        self.box.addSpacing(4)
        self.box.addWidget(scrolled(self.rows, self), 1)
        self._build_buttons()

    def _build_buttons(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(8)
        for name, words in WAYS:
            made = QPushButton(words, self)
            made.setObjectName(name)
            made.setFixedHeight(32)
            made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            made.clicked.connect(self._pressed)
            made.hide()
            self.buttons[name] = made
            row.addWidget(made)
        self.box.addLayout(row)

    def _pressed(self) -> None:
        self.pressed.emit(self.sender().objectName())

    def show_rollout(
        self,
        rollout: Rollout,
        environment: str,
        now_us: int,
        expected: Mapping[int, float | None],
        actions: Mapping[str, Action],
        *,
        begun: bool,
        rehearsed: tuple[str, str] = ("", ""),
        asked: str = "",
        each: Sequence[RolloutPlan | Refusal] = (),
    ) -> None:
        """Fill the page. `begun` False: it is the plan, with what speaks against `each` service of it.

        `rehearsed`: words of the last rehearsal; `asked`: what waits for a yes.
        """
        done = sum(run.state in _OVER for run in rollout.steps)
        total = len(rollout.steps)
        self.what.set_ink("muted")
        steps = f"{done} of {total} steps" if begun else plural(total, "step" if _move(rollout) else "service")
        self.show_head(_what(rollout, begun), rollout.title, environment, _move(rollout) or steps, steps if _move(rollout) else "")
        self.digests.setVisible(bool(_move(rollout)))
        state, words = rollout_words(rollout) if begun else ("", order_rule(rollout))
        self.outcome.set_row(state, words)
        self.time.set_text(_time(rollout, now_us, expected, begun))
        self.rehearsed.set_row(*rehearsed)
        self.rehearsed.setVisible(not begun and bool(rehearsed[1]))
        self.bar.setVisible(begun and not rollout.state.final)
        self.bar.setRange(0, max(1, total))
        self.bar.setValue(done)
        message: list[RowContent] = [(state, plain(rollout.message, 500), "", "")] if begun and rollout.message else []
        self.rows.set_rows(
            [*message, *step_rows(rollout, now_us, expected, actions), *_doubts(rollout, actions), *against_rows(each, now_us)]
        )
        self._paint_buttons(rollout, begun, asked)

    def _paint_buttons(self, rollout: Rollout, begun: bool, asked: str) -> None:
        held = rollout.state is RolloutState.RUNNING and any(run.state is StepState.HELD for run in rollout.steps)
        real, running = begun and not rollout.rehearsal, not rollout.state.final
        stopped = rollout.state in (RolloutState.FAILED, RolloutState.ABORTED)
        stood = stopped and any(run.state is not StepState.WAITING for run in rollout.steps)
        shown = {
            "go on": real and (held or rollout.state is RolloutState.PAUSED),
            "back": real and (stood or (running and rollout.state is not RolloutState.GOING_BACK)),
            "stop": real and running,
            "rehearse": not begun,
        }
        for name, words in WAYS:
            button, sure = self.buttons[name], asked == name
            button.setVisible(shown[name])
            button.setAccessibleName(f"{words}: press again to confirm" if sure else words)
            # the words stay: nothing moves under the pointer
            if button.property("role") != (role := "sure" if sure else "way"):
                button.setProperty("role", role)
                button.style().polish(button)


def _move(rollout: Rollout) -> str:
    """From and to, where it is about one service."""
    if len(rollout.places) != 1:
        return ""
    step = next((run.step for run in rollout.steps if run.step.version), None)
    return f"{plain(step.from_version, 60) or 'nothing'} → {plain(step.version, 60)}" if step is not None else ""


def _what(rollout: Rollout, begun: bool) -> str:
    if rollout.rehearsal:
        return "REHEARSAL: NOTHING IS SENT"
    if rollout.kind == "rollback":
        return "ROLLING A SET BACK" if begun and not rollout.state.final else "SET ROLLBACK"
    return "DEPLOYING IN STEPS" if begun and not rollout.state.final else "DEPLOYMENT IN STEPS"


def _time(rollout: Rollout, now_us: int, expected: Mapping[int, float | None], begun: bool) -> str:
    total_s = sum(expected.get(n) or 0.0 for n in range(len(rollout.steps)))
    sure = all(expected.get(n) is not None for n, run in enumerate(rollout.steps) if run.step.do == "deploy")
    about = f"about {duration_text(total_s)}" if sure else "duration not known: no past deployment of some"
    if not begun:
        return about
    end_us = rollout.ended_at_us or now_us
    elapsed_s = max(0.0, (end_us - rollout.started_at_us) / 1e6)
    return f"{duration_text(elapsed_s)} in all" if rollout.state.final else f"{duration_text(elapsed_s)}, {about} in all"


def _doubts(rollout: Rollout, actions: Mapping[str, Action]) -> list[RowContent]:
    """What the proofs of its actions say that is not fine."""
    if not rollout.state.final:
        return []
    proved = [(run.step.service, line) for run in rollout.steps if (a := actions.get(run.action)) is not None for line in a.proof]
    several = len(rollout.places) > 1
    bad: list[RowContent] = [
        (str(line.state), f"{plain(service, 80)}: {plain(line.text, 500)}" if several else plain(line.text, 500), "", line.place)
        for service, line in proved
        if line.state is not LineState.OK
    ]
    fine = len(proved) - len(bad)
    return [*bad, *([(NOTE, f"{plural(fine, 'line')} of proof fine", "", "")] if fine else [])]
