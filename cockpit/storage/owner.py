"""Which process wrote something, and whether it still lives."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def process_owner() -> str:
    """This process as `host:pid:start`; the start time tells it from a later process with the same number."""
    return f"{platform.node()}:{os.getpid()}:{_started(os.getpid())}"


def owner_alive(owner: str) -> bool:
    """Whether the process that `process_owner` named still runs.

    One on another host counts as dead only to itself: here it is taken for alive, so that nobody takes its work from it.
    """
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    started = owner.rpartition(":")[2]
    if host != platform.node():
        return bool(host)
    if not rest.isdigit() or int(rest) <= 0:
        return False
    pid = int(rest)
    now = _started(pid)
    if now != "0" or started != "0":
        return now == started and now != "0"
    return _exists(pid)


def _started(pid: int) -> str:
    """Clock ticks from the machine's start to the process's; "0" where the system does not tell or there is no such process.

    A zombie counts as gone.
    """
    try:
        # the name, in brackets, may hold anything: what counts comes after the last one
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return "0" if fields[0] in ("Z", "X") else fields[19]
    except (OSError, IndexError):
        return "0"


def _exists(pid: int) -> bool:
    if os.name == "nt":
        # signal 0 is Ctrl+C there: do not ask, and take nobody's work away
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
