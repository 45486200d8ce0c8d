"""Steps of a rollout in words: what each does, how it is undone, how long it takes and where it is. All functions are pure."""

from __future__ import annotations

from collections.abc import Mapping

from cockpit.domain.rollout import Action
from cockpit.domain.strategy import Rollout, RolloutState, Step, StepRun, StepState
from ui.models.text import age_text, duration_text, plain, plural

_SHOWN = 3  # nodes that a step names; more are counted
CUT = "cut off"  # a step that was under way when its rollout was stopped
NOTE = "note"  # the row below a step that says how it is undone


def nodes_words(step: Step) -> str:
    """production-1 and production-2; more than three are counted."""
    short = [plain(n, 60).removeprefix(f"{step.service}-") for n in step.nodes]
    if not short:
        return "all nodes"
    return ", ".join(short) if len(short) <= _SHOWN else plural(len(short), "node")


def step_words(step: Step, several: bool = False) -> str:
    """What a step does, in one line. `several`: services differ, so each step names its own."""
    version, nodes = plain(step.version, 60), nodes_words(step)
    if step.do == "deploy":
        move = f"{plain(step.from_version, 60) or 'nothing'} → {version}"
        return f"{plain(step.service, 80)} {move}" if several else f"{version} on {nodes}"
    if step.do == "bake":
        return f"wait {duration_text(step.seconds)} and watch"
    if step.do == "hold":
        return "hold until a person says go on"
    if step.do == "gate":
        return f"ask again: {', '.join(plain(a, 40) for a in step.ask) or 'nothing'}"
    if step.do == "weight":
        return f"{step.percent} % of the traffic to {nodes}"
    if step.do == "mode":
        return f"venue to {plain(step.mode, 40)}"
    return plain(step.do, 80)


def step_time(run: StepRun, now_us: int, expected_s: float | None) -> str:
    """Remaining of a bake, elapsed of what runs, taken of what ended, expected of what waits."""
    step = run.step
    if run.ended_at_us and run.started_at_us:
        return duration_text((run.ended_at_us - run.started_at_us) / 1e6)
    if run.started_at_us and run.state is StepState.RUNNING:
        since_s = (now_us - run.started_at_us) / 1e6
        return f"{duration_text(max(0.0, step.seconds - since_s))} left" if step.do == "bake" else age_text(since_s)
    if run.started_at_us and run.state is StepState.HELD:
        return age_text((now_us - run.started_at_us) / 1e6)
    if step.do == "bake":
        return duration_text(step.seconds)
    return f"~ {duration_text(expected_s)}" if expected_s is not None and step.do == "deploy" else ""


Row = tuple[str, str, str, str, str]


def step_rows(rollout: Rollout, now_us: int, expected: Mapping[int, float | None], actions: Mapping[str, Action]) -> list[Row]:
    """Each step with its state, what it says, the nodes of what is under way, and how it is undone while that is still ahead."""
    several = len({run.step.service for run in rollout.steps}) > 1
    rows: list[Row] = []
    for number, run in enumerate(rollout.steps):
        state = str(run.state)
        words = f"{number + 1}. {step_words(run.step, several)}"
        if run.state is not StepState.WAITING or rollout.state.final:
            words += f": {_word(rollout, run)}"
        cut = _word(rollout, run) == CUT
        time = "" if cut else step_time(run, now_us, expected.get(number))
        rows.append(("warning" if cut else state, words, time, "", nodes_tip(run.step)))
        if run.message:
            # its nodes are named without the service that stands above
            where = f"{run.step.environment}-"
            rows.append((NOTE, plain(run.message, 500).replace(f"{run.step.service}-{where}", where), "", "", ""))
        action = actions.get(run.action)
        if run.state is StepState.RUNNING and action is not None and action.deployment is not None:
            begun = (s for s in action.deployment.steps if s.state != "pending")
            rows += [(NOTE, f"{plain(s.node, 60)}: {plain(s.state, 40)}", "", "", "") for s in begun]
        elif run.step.undo and run.state not in (StepState.UNDONE, StepState.SKIPPED) and not _never(rollout, run):
            rows.append((NOTE, f"undo: {plain(run.step.undo, 300)}", "", "", ""))
    return rows


def _word(rollout: Rollout, run: StepRun) -> str:
    """A step's state in words: in a rollout that has ended nothing runs or waits for a person any more."""
    if rollout.state.final and run.state is StepState.WAITING:
        return "not begun"
    return CUT if rollout.state.final and run.state in (StepState.RUNNING, StepState.HELD) else str(run.state)


def _never(rollout: Rollout, run: StepRun) -> bool:
    return rollout.state.final and run.state is StepState.WAITING


def nodes_tip(step: Step) -> str:
    """All nodes of a step, for its tooltip."""
    return "\n".join(plain(n, 200) for n in step.nodes[:100])


def rollout_words(rollout: Rollout) -> tuple[str, str]:
    """(state's word, words) of a rollout: never "failed" for what is not known, never "done" for what is not."""
    unknown = any(run.state is StepState.UNKNOWN for run in rollout.steps)
    noun = "Rehearsal" if rollout.rehearsal else "Rollback" if rollout.kind == "rollback" else "Rollout"
    if unknown and rollout.state is not RolloutState.DONE:
        return "unknown", "Not known yet: a step's outcome is being asked for"
    held = any(run.state is StepState.HELD for run in rollout.steps)
    return {
        RolloutState.RUNNING: ("held", "Waits for you: go on, go back or stop") if held else ("running", f"{noun} under way"),
        RolloutState.PAUSED: ("held", "Paused: goes on only when you say so"),
        RolloutState.GOING_BACK: ("running", "Going back, step by step"),
        RolloutState.DONE: ("ok", "Rehearsed: nothing was sent" if rollout.rehearsal else "Done, every step"),
        RolloutState.FAILED: ("failed", f"{noun} failed: {tally(rollout)}"),
        RolloutState.BACK: ("warning", f"Went back: {tally(rollout)}"),
        RolloutState.ABORTED: ("warning", f"Stopped: {tally(rollout)}"),
    }[rollout.state]


def tally(rollout: Rollout) -> str:
    """2 done, 1 failed, 1 waiting: the truth of a partial failure."""
    counts: dict[str, int] = {}
    for run in rollout.steps:
        counts[_word(rollout, run)] = counts.get(_word(rollout, run), 0) + 1
    order = [str(s) for s in (StepState.DONE, StepState.UNDONE, StepState.FAILED, StepState.UNKNOWN)]
    words = sorted(counts, key=lambda w: order.index(w) if w in order else len(order))
    return ", ".join(f"{counts[w]} {w}" for w in words)


def order_rule(rollout: Rollout) -> str:
    """What happens where one of the steps fails."""
    if rollout.on_failure == "back":
        return "If one fails: what was done is undone, in reverse order."
    return "If one fails: it stops there, and what was done stays."
