"""A cockpit as a process of its own that watches one environment and rolls back by itself, if it lives that long.

`watch_child.py DATA_DIR ENVIRONMENT MODE SECONDS`; MODE: act (do what the policy says), stop (a person stops the countdown), announced,
intent or post (killed there), again (after a kill: until what was begun has ended, and a countdown longer), again-bad (until it is found
bad, too). Blocks of the hard rules are 2 s, warming takes 1 s, a countdown COUNTDOWN_S, and one looks more often than each second, so that
a test need not take minutes. Prints "ready" once the nodes of the version before were judged, then one JSON line; SECONDS are a deadline.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from cockpit.app import Cockpit, build
from cockpit.domain.facts import place
from cockpit.domain.watching import Watched, WatchState
from cockpit.paths import find_paths
from cockpit.services import judging, watch, watch_feed
from cockpit.services.execution import Pace
from cockpit.services.runtime import LoopMainThread
from tests.e2e.crash_child import die, wrap

SERVICE = "order-gateway"
SEEN = 3  # looks before the deployment
COUNTDOWN_S = 2.5  # no settings may say so little


def hurry() -> None:
    """The same rules over shorter blocks."""
    watch_feed.WARM_S, watch_feed.LOOK_S = 1.0, 0.4
    watch.TICK_S, watch.JUDGE_S = 0.25, 0.4
    usual = judging.policy_of
    judging.policy_of = lambda *given: replace(usual(*given), block_s=2, p99_requests=100)


def shorten(cockpit: Cockpit, environment: str) -> None:
    """A countdown that a test can wait for."""
    rule = cockpit.watch.rules.watch(environment)
    cockpit.watch.rules = replace(cockpit.watch.rules, watches={environment: replace(rule, countdown_s=COUNTDOWN_S)})


def plant(cockpit: Cockpit, at: str, mode: str) -> None:
    """Put the end of the process where the mode says."""
    if mode == "announced":
        cockpit.store.subscribe(lambda change: die() if _of(cockpit, at).countdown is not None else None)
    elif mode == "intent":
        wrap(cockpit.journal, "append", after=lambda entry: die() if entry.kind == "intent" else None)
    elif mode == "post":
        wrap(cockpit.connections.deployment(SERVICE), "deploy", after=die)
    elif mode.startswith("again"):
        wrap(cockpit.connections.deployment(SERVICE), "deploy", after=lambda answer: print("POST", flush=True))


def _of(cockpit: Cockpit, at: str) -> Watched:
    return cockpit.store.state.watches.get(at) or Watched("", "", "", "", "", "", 0)


def stop(cockpit: Cockpit, environment: str) -> None:
    """A person stops it, once."""
    if not cockpit.watch.why_not_stop(SERVICE, environment):
        cockpit.watch.stop(SERVICE, environment, "we know of it")


def ended(cockpit: Cockpit) -> bool:
    actions = cockpit.store.state.actions.values()
    return bool(actions) and all(a.state.final for a in actions) and cockpit.journal is not None and not cockpit.journal.unfinished()


def report(cockpit: Cockpit, at: str) -> dict[str, Any]:
    watched = _of(cockpit, at)
    entries = cockpit.actions.activity(limit=200)
    return {
        "actions": [(a.key, str(a.state), a.message) for a in cockpit.store.state.actions.values()],
        "intents": [e.detail["reason"] for e in entries if e.kind == "intent"],
        "said": [e.detail["said"] for e in reversed(entries) if e.action == "watch"],
        "state": str(watched.state),
        "watched": (watched.kind, watched.version, watched.countdown is not None),
        "why_not": watched.why_not,
        "stopped_by": watched.stopped_by,
        "findings": [f.text for f in watched.findings],
        "verified": cockpit.actions.verify_journal().ok,
    }


def main() -> None:
    folder, environment, mode, seconds = sys.argv[1:]
    hurry()
    loop, at = LoopMainThread(), place(SERVICE, environment)
    cockpit = build(find_paths(Path(folder)), loop, pace=Pace(follow_s=0.1, slow_s=0.3, settle_s=2.0))
    cockpit.apart = False
    cockpit.start()
    shorten(cockpit, environment)
    looks = partial(cockpit.watch.feed.looks, at, watch_feed.Split("new"), 0)
    if not loop.run_until(lambda: cockpit.ready and (mode.startswith("again") or len(looks()[0]) >= SEEN), 60):
        raise SystemExit("the nodes were not read")
    plant(cockpit, at, mode)
    print("ready", flush=True)
    if mode == "stop":
        loop.run_until(lambda: stop(cockpit, environment) or bool(_of(cockpit, at).stopped_by), float(seconds))
        loop.run_until(lambda: False, COUNTDOWN_S + 2)
    elif mode.startswith("again"):
        bad = lambda: mode == "again" or _of(cockpit, at).state is WatchState.BAD  # noqa: E731 - of that moment
        loop.run_until(lambda: ended(cockpit) and bad(), float(seconds))
        back = lambda: any(e.kind == "intent" for e in cockpit.actions.activity(limit=200))  # noqa: E731 - of that moment
        if mode == "again" and back():
            loop.run_until(lambda: _of(cockpit, at).kind == "rollback", float(seconds))
        # longer than a countdown, where there could be one
        loop.run_until(lambda: False, COUNTDOWN_S + 2)
    else:
        # of two windows one may find that the other has done it
        other = lambda: _of(cockpit, at).over or _of(cockpit, at).kind == "rollback"  # noqa: E731 - of that moment
        done = lambda: ended(cockpit) or (other() and not cockpit.store.state.actions)  # noqa: E731 - of that moment
        loop.run_until(done, float(seconds))
    print(json.dumps(report(cockpit, at)), flush=True)
    cockpit.close()


if __name__ == "__main__":
    main()
