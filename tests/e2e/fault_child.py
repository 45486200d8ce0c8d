"""Begins actions in processes that are killed: reads one JSON order a line, forks for each, and says when each ended.

Everything is loaded once, so that a child costs milliseconds. An order: {"folder", "port", "intent", "die"}; `die` names the methods
after whose first call the child kills itself (none = it is killed from outside).
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import requests  # noqa: F401 - loaded here and not in each child

from cockpit.connectors import http_wire  # noqa: F401 - as above
from cockpit.services.runtime import LoopMainThread
from tests.e2e.fault_rig import FaultRig, Intent

LIMIT_S = 20.0


def run(order: dict[str, Any]) -> int:
    """Carry one order out, as far as this process lives; the exit code says that it lived too long."""

    def told(method: str, error: Exception | None) -> None:
        if method in order["die"]:
            os.kill(os.getpid(), signal.SIGKILL)

    main = LoopMainThread()
    rig = FaultRig(Path(order["folder"]), order["port"], main, told)
    intent = msgspec.convert(order["intent"], Intent)
    rig.begin(intent)
    ended = main.run_until(lambda: rig.store.state.actions[intent.key].state.final, LIMIT_S)
    return 4 if ended else 5


def say(**event: Any) -> None:
    """One event to whoever reads."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Until the input ends."""
    living: set[int] = set()
    waiting = b""
    while True:
        ready, _, _ = select.select([0], [], [], 0.02 if living else 5.0)
        if ready:
            data = os.read(0, 65536)
            if not data:
                return
            *lines, waiting = (waiting + data).split(b"\n")
            for line in lines:
                order = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    code = 6
                    try:
                        code = run(order)
                    finally:
                        os._exit(code)
                living.add(pid)
                say(begun=order["intent"]["key"], pid=pid)
        for pid in tuple(living):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                living.discard(pid)
                say(ended=pid, code=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
