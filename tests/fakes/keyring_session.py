"""A real gnome-keyring on a session bus of its own: unpacked from Debian packages where it is not installed, always ended."""

from __future__ import annotations

import functools
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.fakes.monitoring import wait_until

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "debian"
PACKAGES = ("gnome-keyring", "libgck-1-0", "libgcr-base-3-1")
READY_S = 20.0
# tells its bus and stays until its input ends; the bus ends with it
BUS = "import os, sys; print(os.environ['DBUS_SESSION_BUS_ADDRESS'], flush=True); sys.stdin.read()"
# what asks for passwords on a desktop: it takes the question and never comes back with an answer
PROMPTER = """
import sys
from jeepney import DBusAddress, HeaderFields, MessageType, new_method_call, new_method_return
from jeepney.io.blocking import open_dbus_connection
connection = open_dbus_connection(bus="SESSION")
bus = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
connection.send_and_get_reply(new_method_call(bus, "RequestName", "su", ("org.gnome.keyring.SystemPrompter", 0)))
print("ready", flush=True)
while True:
    message = connection.receive()
    if message.header.message_type is MessageType.method_call:
        print(message.header.fields[HeaderFields.member], flush=True)
        connection.send(new_method_return(message))
"""
# deeds as JSON in, answers as JSON out, in one process: as a window's workers use it
CLIENT = """
import json, os, sys
from cockpit.storage.secrets import Secrets
deeds, how = json.loads(sys.argv[1])
secrets = Secrets(os.environ, **how)
answers = [getattr(secrets, deed)(*words) for deed, *words in deeds]
print(json.dumps({"answers": answers, "reason": secrets.reason, "hint": secrets.hint}), flush=True)
os._exit(0)  # a prompt that still waits holds no window back either
"""


@functools.cache
def unpacked() -> Path | None:
    """Where the packages are unpacked; None where the program is installed. The test is skipped where it cannot be had, and says why."""
    if shutil.which("gnome-keyring-daemon"):
        return None
    target = CACHE / "keyring"
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / "keyring.lock"):
        if not (target / "usr/bin/gnome-keyring-daemon").exists():
            _unpack(target)
    return target


def _unpack(target: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        pytest.skip("gnome-keyring is not installed, and there is no apt-get to fetch it")
    place = CACHE / "keyring.download"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    try:
        fetched = subprocess.run(["apt-get", "download", *PACKAGES], cwd=place, capture_output=True, text=True, timeout=120)
        found = sorted(place.glob("*.deb"))
        if fetched.returncode != 0 or len(found) < len(PACKAGES):
            pytest.skip(f"gnome-keyring is not installed and could not be fetched: {fetched.stderr.strip()[-200:]}")
        for package in found:
            content = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(package)], capture_output=True, check=True, timeout=120).stdout
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                archive.extractall(place / "half", filter="tar")
        (place / "half").rename(target)
    finally:
        shutil.rmtree(place, ignore_errors=True)


class Desktop:
    """A person's home, and a session bus in it. `login` starts the keyring as a login does."""

    def __init__(self, home: Path, address: str, stack: ExitStack) -> None:
        self.home, self._stack = home, stack
        runtime = home / "run"
        runtime.mkdir(mode=0o700, exist_ok=True)
        places = {"HOME": str(home), "XDG_RUNTIME_DIR": str(runtime), "XDG_DATA_HOME": str(home / "data"), "PYTHONPATH": str(ROOT)}
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        self.environ = kept | places | ({"DBUS_SESSION_BUS_ADDRESS": address} if address else {})

    def login(self, password: str | None) -> None:
        """Start the keyring; a password unlocks it (and makes it, the first time), None does not."""
        place = unpacked()
        program = str(place / "usr/bin/gnome-keyring-daemon") if place is not None else "gnome-keyring-daemon"
        libraries = [str(p.parent) for p in place.rglob("libgck-1.so.0")] if place is not None else []
        environ = self.environ | ({"LD_LIBRARY_PATH": libraries[0]} if libraries else {})
        command = [program, "--foreground", "--components=secrets", *(["--unlock"] if password is not None else [])]
        daemon = self._start(command, environ)
        assert daemon.stdin is not None
        daemon.stdin.write(password or "")
        daemon.stdin.close()
        assert wait_until(lambda: self._serves() or daemon.poll() is not None, READY_S)
        assert daemon.poll() is None, "the keyring ended by itself"

    def _serves(self) -> bool:
        script = "import secretstorage as s; raise SystemExit(not s.check_service_availability(s.dbus_init()))"
        return subprocess.run([sys.executable, "-c", script], env=self.environ, capture_output=True, timeout=20).returncode == 0

    def prompter(self) -> None:
        """Somebody who takes questions for passwords and never answers."""
        process = self._start([sys.executable, "-c", PROMPTER], self.environ)
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"

    def _start(self, command: list[str], environ: dict[str, str]) -> subprocess.Popen[str]:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, env=environ, text=True, cwd=self.home, **pipes)
        self._stack.callback(_end, process)
        return process

    def secrets(self, *deeds: tuple[str, ...], **how: float) -> dict[str, Any]:
        """Deeds of `Secrets`, in a process on this bus: its answers, and what it says of the keyring."""
        command = [sys.executable, "-c", CLIENT, json.dumps([deeds, how])]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=60, cwd=self.home)
        assert done.returncode == 0, done.stderr[-2000:]
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def _end(process: subprocess.Popen[str]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None and not stream.closed:
            stream.close()
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def desktop(home: Path) -> Iterator[Desktop]:
    """A session bus as `dbus-run-session` makes it, for the time of the block; nothing of the person's own is touched."""
    if not shutil.which("dbus-run-session"):
        pytest.skip("there is no dbus-run-session: install the Debian package dbus-daemon")
    unpacked()
    home.mkdir(parents=True, exist_ok=True)
    environ = {"PATH": os.environ["PATH"], "HOME": str(home)}
    command = ["dbus-run-session", "--", sys.executable, "-c", BUS]
    with ExitStack() as stack:
        bus = subprocess.Popen(command, env=environ, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        stack.callback(_end_bus, bus)
        assert bus.stdout is not None
        address = bus.stdout.readline().strip()
        assert address, "there is no session bus"
        yield Desktop(home, address, stack)


def _end_bus(bus: subprocess.Popen[str]) -> None:
    assert bus.stdin is not None
    assert bus.stdout is not None
    bus.stdin.close()  # what holds the bus ends, and the bus with it
    bus.stdout.close()
    try:
        bus.wait(10)
    except subprocess.TimeoutExpired:
        bus.kill()
        bus.wait()
