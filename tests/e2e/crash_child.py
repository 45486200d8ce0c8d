"""A cockpit as a process of its own that rolls back and is killed at a chosen step, or takes up what another one left.

`crash_child.py DATA_DIR SERVICE ENVIRONMENT STEP`; STEP is one of STEPS to be killed there, or `recover`. Prints one JSON line.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cockpit.app import Cockpit, build
from cockpit.domain.rollout import RolloutPlan
from cockpit.paths import find_paths
from cockpit.services.execution import Pace
from cockpit.services.runtime import LoopMainThread

STEPS = ("before-intent", "after-intent", "after-post", "nodes-changing", "before-outcome")


def die(*_: object) -> None:
    """As the power cut would: no cleaning up, no flushing."""
    os.kill(os.getpid(), signal.SIGKILL)


def wrap(target: Any, name: str, before: Callable[..., None] | None = None, after: Callable[..., None] | None = None) -> None:
    """Call something before or after a method, with its arguments or its answer."""
    real = getattr(target, name)

    def call(*arguments: Any, **options: Any) -> Any:
        if before is not None:
            before(*arguments)
        answer = real(*arguments, **options)
        if after is not None:
            after(answer)
        return answer

    setattr(target, name, call)


def plant(cockpit: Cockpit, service: str, step: str) -> None:
    """Put the end of the process at the step."""
    api = cockpit.connections.deployment(service)
    journal = cockpit.journal

    def at_intent(kind: str, *_: object) -> None:
        if kind == "intent":
            die()

    def at_outcome(kind: str, *_: object) -> None:
        if kind == "outcome":
            die()

    def after_intent(entry: Any) -> None:
        if entry.kind == "intent":
            die()

    def half_way(deployment: Any) -> None:
        if any(s.state == "done" for s in deployment.steps) and not deployment.state.final:
            die()

    if step == "before-intent":
        wrap(journal, "append", before=at_intent)
    elif step == "after-intent":
        wrap(journal, "append", after=after_intent)
    elif step == "after-post":
        wrap(api, "deploy", after=die)
    elif step == "nodes-changing":
        wrap(api, "deployment", after=half_way)
    elif step == "before-outcome":
        wrap(journal, "append", before=at_outcome)


def roll_back(cockpit: Cockpit, main: LoopMainThread, service: str, environment: str) -> None:
    """Fire the card's plan and follow it to the end, if the process lives that long."""

    def ready() -> bool:
        return isinstance(cockpit.actions.plan("rollback", service, environment), RolloutPlan)

    if not main.run_until(ready, 30):
        raise SystemExit(f"no plan: {cockpit.actions.plan('rollback', service, environment)}")
    plan = cockpit.actions.plan("rollback", service, environment)
    assert isinstance(plan, RolloutPlan)
    action = cockpit.actions.fire(plan, "the process will die")
    main.run_until(lambda: cockpit.store.state.actions[action.key].state.final, 60)


def take_up(cockpit: Cockpit, main: LoopMainThread, service: str) -> None:
    """Recover; a second POST would end this process with an error."""

    def never(*_: object) -> None:
        raise SystemExit("a second POST")

    wrap(cockpit.connections.deployment(service), "deploy", before=never)
    cockpit.actions.recover()
    done = lambda: cockpit.journal is not None and not cockpit.journal.unfinished()  # noqa: E731 - a condition, said once
    main.run_until(done, 60)


def main() -> None:
    folder, service, environment, step = sys.argv[1:]
    loop = LoopMainThread()
    cockpit = build(find_paths(Path(folder)), loop, pace=Pace(follow_s=0.1, slow_s=0.5, settle_s=3.0))
    cockpit.connect()
    if not loop.run_until(lambda: cockpit.ready, 30):
        raise SystemExit("the connections did not come up")
    if step == "recover":
        take_up(cockpit, loop, service)
    else:
        plant(cockpit, service, step)
        roll_back(cockpit, loop, service, environment)
    actions = [{"key": a.key, "state": str(a.state), "message": a.message} for a in cockpit.store.state.actions.values()]
    verification = cockpit.actions.verify_journal()
    print(json.dumps({"actions": actions, "verified": verification.ok, "problems": verification.problems}))
    cockpit.close()


if __name__ == "__main__":
    main()
