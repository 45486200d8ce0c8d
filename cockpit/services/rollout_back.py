"""Whether a rollout's version was taken back meanwhile: then it does not go on with it, whoever says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cockpit.domain.calendar import time_words
from cockpit.domain.facts import place
from cockpit.domain.rollout import ActionState

if TYPE_CHECKING:
    from cockpit.domain.strategy import Rollout, StepRun
    from cockpit.services.store import AppState

WITHOUT_EFFECT = (ActionState.REFUSED, ActionState.NOT_SENT)
GONE_BACK = "Nothing was sent. Go back or stop; once it is repaired, begin a new rollout."


def taken_back(state: AppState, rollout: Rollout, now_us: int) -> str:
    """Which of its versions was rolled back since it deployed it, when and why; "" where none was, or where it goes back itself."""
    if rollout.kind == "rollback" or rollout.going_back:
        return ""
    brought = (run for run in rollout.steps if run.step.do == "deploy" and run.action)
    return next((words for run in brought if (words := _rolled_back(state, run, now_us))), "")


def _rolled_back(state: AppState, run: StepRun, now_us: int) -> str:
    step, history = run.step, state.deployments.get(place(run.step.service, run.step.environment))
    known = history.value if history is not None else ()
    # the newest first, as the deployment system has them, for its clock may differ; one without the key tells by its times
    index = next((i for i, d in enumerate(known) if d.key == run.action), None)
    since = known[:index] if index is not None else [d for d in known if d.started_at_us >= run.started_at_us]
    for d in since:
        if d.kind == "rollback" and d.digest != step.digest:
            return _words(step.version, step.environment, d.started_at_us, d.reason, now_us)
    for a in state.actions.values():
        here = (a.kind, a.service, a.environment) == ("rollback", step.service, step.environment)
        if here and a.digest != step.digest and a.intended_at_us >= run.started_at_us and a.state not in WITHOUT_EFFECT:
            return _words(step.version, step.environment, a.intended_at_us, "", now_us)
    return ""


def _words(version: str, environment: str, at_us: int, reason: str, now_us: int) -> str:
    why = f" ({' '.join(reason.split())[:300]})" if reason else ""
    return f"{version} was rolled back in {environment} at {time_words(at_us, now_us)}{why}"
