"""What the action card shows of one action: the plan before, the progress during, the proof after."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from cockpit.domain.rollout import Action, ActionState, Refusal, RolloutPlan
from ui.models.text import age_text, duration_text, plural, short_id
from ui.theme import font, state_of
from ui.widgets.panel import ProgressLine
from ui.widgets.texts import NOTE, RowContent, RowList, Text, scrolled

NO_ENVIRONMENT = (
    "Rollback and deployment need one: name it under [environments.NAME] in cockpit.toml, and a connection of kind deployment-v1."
)
_VERB = {"rollback": ("Roll back", "Rolling back", "Rolled back"), "deploy": ("Deploy", "Deploying", "Deployed")}
_WORST = ("blocked", "unknown", "warning", "ok")
_NOUN = {"rollback": "rollback", "deploy": "deployment"}


def from_words(version: str, digest: str, target_digest: str) -> str:
    """What is left: of nodes that differ the most may run the target already, and it is the others that change."""
    return "mixed" if digest and digest == target_digest else version or "nothing"


class MoveText(Text):
    """From and to in the big font; in the title's font where the big one would cut it."""

    def _fit(self) -> None:
        big = QFontMetrics(font("big"))
        fits = big.horizontalAdvance(self._whole) <= max(120, self.contentsRect().width())
        wanted = font("big" if fits else "title")
        # only another size is set: setting a font comes back here as an event
        if wanted.pointSizeF() != self.font().pointSizeF():
            self.setFont(wanted)
        self.setFixedHeight(big.height() + 4)
        super()._fit()


class Page(QWidget):
    """Head of every page: what, service, environment, from and to."""

    went = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.box = QVBoxLayout(self)
        self.box.setContentsMargins(0, 0, 0, 0)
        self.box.setSpacing(4)
        self.line = ProgressLine(self)
        self.box.addWidget(self.line)
        self.what = Text(role="muted", ink="muted", parent=self)
        self.back = QPushButton("Back to rollback", self)
        self.back.setProperty("role", "link")
        self.back.setAccessibleName("Back to rollback")
        self.back.hide()
        top = QHBoxLayout()
        top.addWidget(self.what, 1)
        top.addWidget(self.back)
        # the way back comes and goes without moving what stands below it
        top.addStrut(self.back.sizeHint().height())
        self.service = Text(role="title", parent=self)
        self.environment = Text(ink="muted", parent=self)
        self.move_text = MoveText(role="big", parent=self)
        self.digests = Text(role="mono", ink="muted", parent=self)
        self.box.addLayout(top)
        for widget in (self.service, self.environment, self.move_text, self.digests):
            self.box.addWidget(widget)

    def show_head(self, what: str, service: str, environment: str, move: str, digests: str) -> None:
        """Fill the head."""
        self.what.set_text(what)
        self.service.set_text(service)
        self.environment.set_text(environment)
        self.move_text.set_text(move)
        self.digests.set_text(digests)


class PlanPage(Page):
    """The plan, or why there is none; preflight with the age of each fact."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.count = Text(parent=self)
        self.expected = Text(parent=self)
        self.heading = Text(role="muted", ink="muted", parent=self)
        self.rows = RowList("Preflight", self)
        self.rows.went.connect(self.went)
        self.box.addSpacing(8)
        self.box.addWidget(self.count)
        self.box.addWidget(self.expected)
        self.box.addSpacing(8)
        self.box.addWidget(self.heading)
        self.box.addWidget(scrolled(self.rows, self), 1)

    def show_plan(
        self,
        plan: RolloutPlan | Refusal | None,
        past: int,
        now_us: int,
        chosen: bool,
        starting: str = "",
        service: str = "",
        steps: Sequence[RowContent] = (),
    ) -> None:
        """Fill the page; `past` is the number of deployments the expectation rests on, `steps` the rows of the strategy's.

        Without a plan `starting` says what is waited for, and `service` which one is selected without an environment.
        """
        self.line.set_busy(bool(starting) and plan is None)
        self.what.set_ink("bad" if isinstance(plan, RolloutPlan) and plan.emergency else "muted")
        if isinstance(plan, RolloutPlan):
            self._show_possible(plan, past, now_us, chosen, steps)
        elif plan is not None:
            self._show_refusal(plan, now_us)
        else:
            rows: list[RowContent] = []
            words = ("Nothing selected", "Choose a place in the overview.")
            if starting:
                words = (starting, "Its plan stands here then.")
            elif service:
                words = (service, "No environment is named.")
                rows = [("pending", NO_ENVIRONMENT, "", "")]
            self.show_head("ROLLBACK", *words, "", "")
            for text in (self.count, self.expected, self.heading):
                text.set_text("")
            self.rows.set_rows(rows)

    def _show_possible(self, plan: RolloutPlan, past: int, now_us: int, chosen: bool, steps: Sequence[RowContent]) -> None:
        what = plan.kind.upper() + (", target chosen by hand" if chosen and plan.kind == "rollback" else "")
        if plan.emergency:
            what = "EMERGENCY: DEPLOY ALONE"
        self.show_head(
            what,
            plan.service,
            plan.environment,
            f"{from_words(plan.from_version, plan.from_digest, plan.target.digest)} → {plan.target.name}",
            _digests(plan.from_digest, plan.target.digest),
        )
        self.digests.set_text(self.digests.whole, f"from {plan.from_digest or 'not known'} to {plan.target.digest or 'not known'}")
        word = "leave" if plan.kind == "rollback" else "come in"
        commits = "commits not known" if plan.changes is None else f"{plural(plan.changes.total_in, 'commit')} {word}"
        self.count.set_text(f"{commits}, {plural(len(plan.nodes), 'node')}")
        known = plan.expected_s is not None
        expected = f"about {duration_text(plan.expected_s)} (p90 of {past})" if known else "duration not known: no past deployment"
        count = sum(bool(row[0]) and row[0] != NOTE for row in steps)
        self.expected.set_text(expected + (f", in {plural(count, 'step')}" if count else ""))
        self.heading.set_text(_tally([str(line.state) for line in plan.preflight]))
        lines = [_row(str(p.state), p.text, _age(p.at_us, now_us), p.place, plan) for p in plan.preflight]
        begins: list[RowContent] = [(NOTE, "Then, step by step", "", "")] if steps else []
        self.rows.set_rows([*worst_first(lines), *begins, *steps])

    def _show_refusal(self, plan: Refusal, now_us: int) -> None:
        target = plan.target.name if plan.target else "?"
        digest = short_id(plan.target.digest) if plan.target else ""
        # of several services there is no one move
        move = f"{plan.from_version or '?'} → {target}" if plan.target or plan.from_version or plan.preflight else ""
        self.show_head(plan.kind.upper(), plan.service, plan.environment, move, digest and f"→ {digest}")
        self.count.set_text("Not possible now")
        self.expected.set_text("Each reason leads to its place.")
        self.heading.set_text(f"Why not: {len(plan.reasons)} " + ("reason" if len(plan.reasons) == 1 else "reasons"))
        said = {reason.text for reason in plan.reasons}
        ages = {line.text: line for line in plan.preflight}
        rows = []
        for reason in plan.reasons:
            line = ages.get(reason.text)
            state, age = (str(line.state), _age(line.at_us, now_us)) if line else ("blocked", "")
            rows.append(_row(state, reason.text, age, reason.place, plan))
        rows += [_row(str(p.state), p.text, _age(p.at_us, now_us), p.place, plan) for p in plan.preflight if p.text not in said]
        self.rows.set_rows(worst_first(rows))


class ProgressPage(Page):
    """Node by node while it runs; afterwards the proof."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bar = QProgressBar(self)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(4)
        self.bar.setAccessibleName("Progress")
        self.time = Text(parent=self)
        self.outcome = Text(role="strong", parent=self)
        self.rows = RowList("Nodes", self)
        self.rows.went.connect(self.went)
        self.box.addSpacing(8)
        self.box.addWidget(self.outcome)
        self.box.addWidget(self.time)
        self.box.addWidget(self.bar)
        self.box.addSpacing(8)
        self.box.addWidget(scrolled(self.rows, self), 1)

    def show_action(self, action: Action, expected_s: float | None, now_us: int, extra: list[RowContent], automatic: str = "") -> None:
        """Fill the page; `extra` are rows that the card knows besides (latency now, journal number); `automatic`: why nobody clicked it."""
        _, doing, done = _VERB.get(action.kind, ("", action.kind, action.kind))
        final = action.state.final
        title = (
            done.upper()
            if action.state is ActionState.DONE
            else doing.upper()
            if not final
            else f"{_NOUN.get(action.kind, action.kind)} {action.state}".upper()
        )
        self.show_head(
            f"{title} AUTOMATICALLY" if automatic else title,
            action.service,
            action.environment,
            f"{from_words(action.from_version, action.from_digest, action.digest)} → {action.version}",
            _digests(action.from_digest, action.digest),
        )
        steps = action.deployment.steps if action.deployment else ()
        ready = sum(s.state == "done" for s in steps)
        end_us = action.ended_at_us if final and action.ended_at_us else now_us
        elapsed_s = max(0.0, (end_us - action.intended_at_us) / 1e6)
        state, words = outcome_words(action)
        self.outcome.set_text(words)
        self.outcome.set_ink(state_of(state)[1])
        self.time.set_text(_time_words(final, elapsed_s, expected_s, ready, len(steps)))
        self.bar.setVisible(not final)
        self.bar.setRange(0, max(1, len(steps)))
        self.bar.setValue(ready)
        why: list[RowContent] = [("info", f"Automatic, no person clicked it: {automatic}", "", "watch")] if automatic else []
        self.rows.set_rows([*why, *_proof_rows(action), *extra])


def _digests(before: str, after: str) -> str:
    return f"{'several' if before and before == after else short_id(before) or '?'} → {short_id(after) or '?'}"


def _row(state: str, words: str, right: str, place: str, of: Action | RolloutPlan | Refusal) -> RowContent:
    """A row in which nodes are named without the service that stands above; whole in the tooltip."""
    short = words.replace(f"{of.service}-{of.environment}-", f"{of.environment}-")
    return (state, short, right, place, words if short != words else "")


def worst_first(rows: Sequence[RowContent]) -> list[RowContent]:
    """What speaks against it stands above what is fine; within a state the order stays."""
    return sorted(rows, key=lambda row: _WORST.index(row[0]) if row[0] in _WORST else len(_WORST))


def against_rows(each: Sequence[RolloutPlan | Refusal], now_us: int) -> list[RowContent]:
    """Of several plans: how each service's preflight stands, then the lines that are not fine, worst first."""
    rows: list[RowContent] = []
    for plan in each:
        rows.append((NOTE, f"{plan.service}, {_tally([str(line.state) for line in plan.preflight])}", "", ""))
        rows += worst_first(
            [_row(str(p.state), p.text, _age(p.at_us, now_us), p.place, plan) for p in plan.preflight if str(p.state) != "ok"]
        )
    return rows


def _proof_rows(action: Action) -> list[RowContent]:
    """Nodes, what was done, then what was seen of the latency."""
    nodes = [_row(str(p.state), p.text, "", p.place, action) for p in action.proof if p.place != "latency"]
    latency = [_row(str(p.state), p.text, "", p.place, action) for p in action.proof if p.place == "latency"]
    told = [_row(outcome_words(action)[0], action.message, "", "", action)] if action.message else []
    steps = action.deployment.steps if action.deployment else ()
    if action.state is ActionState.DONE and action.proof:
        steps = ()
    going = [_row(s.state, f"{s.node}: {s.state}" + (f", {s.message}" if s.message else ""), "", "", action) for s in steps]
    return [*nodes, *told, *latency, *going]


def outcome_words(action: Action) -> tuple[str, str]:
    """(state word, words) of an action; an unknown outcome is never called failed."""
    return {
        ActionState.INTENDED: ("running", "Written down, now it is sent"),
        ActionState.SENT: ("running", "Sent, waiting for the answer"),
        ActionState.FOLLOWING: ("running", "Under way"),
        ActionState.VERIFYING: ("running", "Verifying every node"),
        ActionState.UNKNOWN: ("unknown", "Not known yet: asking"),
        ActionState.DONE: ("ok", "Done and verified"),
        ActionState.FAILED: ("failed", "Failed"),
        ActionState.ABORTED: ("warning", "Aborted"),
        ActionState.REFUSED: ("failed", "Refused: nothing was done"),
        ActionState.NOT_SENT: ("warning", "Not sent: nothing was done"),
    }[action.state]


def _time_words(final: bool, elapsed_s: float, expected_s: float | None, ready: int, total: int) -> str:
    nodes = f"{ready} of {total} nodes, " if total else ""
    if final:
        return f"{nodes}{elapsed_s:.1f} s in all"
    return f"{nodes}{elapsed_s:.0f} s" + (f" of about {expected_s:.0f} s" if expected_s else "")


def _age(at_us: int, now_us: int) -> str:
    return age_text(max(0.0, (now_us - at_us) / 1e6)) if at_us else "never"


def _tally(states: list[str]) -> str:
    counts = {word: states.count(word) for word in _WORST if word in states}
    told = ", ".join(plural(n, word) if word == "warning" else f"{n} {word}" for word, n in counts.items()) or "nothing to check"
    # with all four words there is no room for more
    return told if len(counts) == len(_WORST) else f"Preflight: {told}"
