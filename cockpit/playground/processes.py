"""Processes of the playground: detached, marked so that they are found again, ended for certain; and small files kept safely.

Every process carries the playground's directory and its part in its environment. That mark, with the time it started, identifies
it: a process id alone may have been given to somebody else's process since. Needs Linux (/proc and pidfd).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct

from cockpit.playground.errors import PlaygroundError

MARK_DIRECTORY = "RELEASE_COCKPIT_PLAYGROUND"
MARK_PART = "RELEASE_COCKPIT_PART"
_LET_GO = "import os, sys\nif os.fork() == 0:\n    os.setsid()\n    os.execv(sys.argv[1], sys.argv[1:])"
_ROOT = Path(__file__).resolve().parent.parent.parent


class Process(Struct, frozen=True):
    """A marked process: id, start time in clock ticks since boot, its part, its environment."""

    pid: int
    ticks: int
    part: str
    environ: dict[str, str]


def now_us() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def environment(directory: Path, part: str, **more: str) -> dict[str, str]:
    """A clean environment with the playground's marks."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", MARK_DIRECTORY: str(directory), MARK_PART: part, **more}


def start(
    command: list[str], directory: Path, part: str, log: Path, cwd: Path, variables: Mapping[str, str], pass_fds: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """Start `command` detached: own session, no standard input, output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=environment(directory, part, **variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=pass_fds,
        )


def start_module(module: str, arguments: list[str], directory: Path, loose: bool = False) -> subprocess.Popen[bytes]:
    """Start a module of this package as a program of its own with `--directory`; its part is its name, its log logs/<module>.log.

    With `loose` it is no child of the caller: wait for the result, which ends at once, and find the program by its mark.
    """
    command = [sys.executable, "-P", "-m", f"cockpit.playground.{module}", "--directory", str(directory), *arguments]
    if loose:
        command = [sys.executable, "-I", "-S", "-c", _LET_GO, *command]
    return start(command, directory, module, directory / "logs" / f"{module}.log", directory, {"PYTHONPATH": str(_ROOT)})


def _ticks(pid: int) -> int | None:
    """Start time of a process that runs; None for one that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def identify(pid: int, directory: Path) -> Process | None:
    """The process as ours, or None where it does not run or does not carry this directory's mark."""
    ticks = _ticks(pid)
    if ticks is None:
        return None
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    if MARK_DIRECTORY.encode() not in raw:
        return None
    environ = dict(item.partition("=")[::2] for item in raw.decode("utf-8", "replace").split("\0") if item)
    if environ.get(MARK_DIRECTORY) != str(directory):
        return None
    return Process(pid, ticks, environ.get(MARK_PART, ""), environ)


def of_child(child: subprocess.Popen[bytes], part: str, environ: dict[str, str]) -> Process | None:
    """A process just started here; None where it has ended already. Its marks cannot be read at once: the system sets them up late."""
    ticks = _ticks(child.pid)
    return None if ticks is None else Process(child.pid, ticks, part, environ)


def find(directory: Path, prefix: str = "") -> list[Process]:
    """Every running process of this playground whose part begins with `prefix`, oldest first; never the calling one."""
    if not Path("/proc/self/environ").exists():
        raise PlaygroundError("The playground cannot run here", "this system has no /proc", "Use Linux, or connect your own systems.")
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    found = [p for pid in pids if pid != os.getpid() and (p := identify(pid, directory)) is not None and p.part.startswith(prefix)]
    return sorted(found, key=lambda p: (p.ticks, p.pid))


def alive(process: Process) -> bool:
    """Whether exactly this process still runs."""
    return _ticks(process.pid) == process.ticks


def end(processes: Iterable[Process], limit_s: float = 3.0) -> None:
    """Ask them to end, wait, then kill what is left, wait again. A process id that was given away since is never touched."""
    handles = []
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(process.pid)
            # the handle is bound to whoever has the id now; only then is the start time compared
            if alive(process):
                handles.append(handle)
            else:
                os.close(handle)
    try:
        for number, wait_s in ((signal.SIGTERM, limit_s), (signal.SIGKILL, 5.0)):
            for handle in handles:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)
            if _all_ended(handles, wait_s):
                return
    finally:
        for handle in handles:
            os.close(handle)


def _all_ended(handles: list[int], limit_s: float) -> bool:
    poller = select.poll()
    for handle in handles:
        poller.register(handle, select.POLLIN)
    left, deadline = set(handles), time.monotonic() + limit_s
    while left:
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            return False
        for handle, _ in poller.poll(remaining_s * 1000):
            poller.unregister(handle)
            left.discard(handle)
    return True


def choose_port(taken: Iterable[int] = ()) -> int:
    """A free loopback port below the range from which outgoing connections get theirs, so that it is still free when it is bound later."""
    try:
        low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        low = 0
    candidates = random.sample(range(max(1100, low - 12_000), low), 200) if low > 2000 else []
    for port in [*candidates, *([0] * 20)]:
        if port in taken:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise PlaygroundError("No free port", "no loopback port could be bound", "Close programs that listen on many ports.")


def port_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file whole and durably; a crash leaves the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_run_file(directory: Path, part: str) -> dict[str, Any]:
    """What run/<part>.json says ({pid, port, started_at}); empty where there is none or it is damaged."""
    try:
        value = msgspec.json.decode((directory / "run" / f"{part}.json").read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError):
        return {}
    return value if isinstance(value.get("port"), int) and isinstance(value.get("pid"), int) else {}


def write_run_file(directory: Path, part: str, port: int) -> None:
    """Say where this process listens."""
    value = {"pid": os.getpid(), "port": port, "started_at": now_us()}
    write_atomic(directory / "run" / f"{part}.json", msgspec.json.encode(value))


def claim(directory: Path, part: str) -> IO[bytes]:
    """Hold `part` of this playground for as long as the result is open; the system lets go of it when the process dies."""
    path = directory / "run" / f"{part}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise PlaygroundError("Already running", f"another {part} works in this playground", "Stop it first.") from error
    return file


class RecordLog:
    """Records by kind and id in an append-only file of JSON lines; the last word on each counts. Call it under the owner's lock.

    Opening it replays the file. A torn last line (the machine went down while it was written) or a damaged one is left out and
    counted in `damaged`; the file as it was is kept beside it.
    """

    def __init__(self, path: Path, compact_bytes: int = 2_000_000) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._records: dict[str, dict[str, Any]] = {}
        self.damaged = 0
        data = path.read_bytes() if path.exists() else b""
        for line in data.splitlines():
            self._replay(line)
        if self.damaged or len(data) > compact_bytes or (data and not data.endswith(b"\n")):
            self._compact(data)
        self._file = path.open("ab", buffering=0)

    def _replay(self, line: bytes) -> None:
        try:
            kind, name, value = msgspec.json.decode(line, type=tuple[str, str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.damaged += bool(line.strip())
            return
        self._records.setdefault(kind, {})[name] = value

    def _compact(self, before: bytes) -> None:
        if self.damaged:
            write_atomic(self._path.with_suffix(".damaged"), before)
        lines = [msgspec.json.encode((kind, name, value)) for kind, named in self._records.items() for name, value in named.items()]
        write_atomic(self._path, b"".join(line + b"\n" for line in lines))

    def put(self, kind: str, name: str, value: Any, durable: bool = True) -> None:
        """Keep a record. With `durable` it has reached the disk when this returns; without, it survives the process but not the machine."""
        plain = msgspec.to_builtins(value)
        line = msgspec.json.encode((kind, name, plain)) + b"\n"
        size = os.fstat(self._file.fileno()).st_size
        try:
            if (written := self._file.write(line)) != len(line):
                raise OSError(errno.ENOSPC, f"{written} of {len(line)} bytes could be written")
            if durable:
                os.fsync(self._file.fileno())
        except OSError:
            # half a line would spoil the next one
            os.ftruncate(self._file.fileno(), size)
            raise
        self._records.setdefault(kind, {})[name] = plain

    def get(self, kind: str) -> dict[str, Any]:
        """All records of a kind, in the order in which they were first kept."""
        return dict(self._records.get(kind, {}))

    def close(self) -> None:
        self._file.close()
