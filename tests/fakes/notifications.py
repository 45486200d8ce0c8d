"""A session bus of its own with a notification server on it, in processes of their own; the server behaves as a test wants."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conftest import wait_until

BUS = "import os, sys; print(os.environ['DBUS_SESSION_BUS_ADDRESS'], flush=True); sys.stdin.read()"
# serves org.freedesktop.Notifications, and writes each notification as a line of JSON
SERVER = """
import json, sys
from jeepney import DBusAddress, HeaderFields, MessageType, new_error, new_method_call, new_method_return
from jeepney.io.blocking import open_dbus_connection
mode = sys.argv[1]
connection = open_dbus_connection(bus="SESSION")
bus = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
connection.send_and_get_reply(new_method_call(bus, "RequestName", "su", ("org.freedesktop.Notifications", 0)))
print(json.dumps({"ready": True}), flush=True)
number = 0
while True:
    message = connection.receive()
    if message.header.message_type is not MessageType.method_call:
        continue
    fields = message.header.fields
    member, signature = fields[HeaderFields.member], fields.get(HeaderFields.signature, "")
    if member == "GetCapabilities":
        capabilities = ["body", "actions"] + (["body-markup"] if mode != "plain" else [])
        connection.send(new_method_return(message, "as", (capabilities,)))
        continue
    if member != "Notify" or signature != "susssasa{sv}i":
        connection.send(new_error(message, "org.freedesktop.DBus.Error.InvalidArgs", "s", (f"{member} {signature}",)))
        continue
    app, replaced, icon, title, body, actions, hints, timeout = message.body
    number = replaced or number + 1
    seen = {"id": number, "replaced": replaced, "app": app, "title": title, "body": body}
    seen |= {"urgency": hints["urgency"][1], "timeout": timeout}
    print(json.dumps(seen), flush=True)
    if mode == "refuse":
        connection.send(new_error(message, "org.freedesktop.Notifications.Error.ExcessNotificationGeneration", "s", ("too many",)))
    elif mode == "die":
        sys.exit(0)
    else:
        connection.send(new_method_return(message, "u", (number,)))
"""


class Server:
    """The server's process; `seen` are the notifications it was asked for."""

    def __init__(self, address: str, mode: str) -> None:
        environ = {"PATH": os.environ["PATH"], "DBUS_SESSION_BUS_ADDRESS": address}
        self.process = subprocess.Popen([sys.executable, "-c", SERVER, mode], env=environ, stdout=subprocess.PIPE, text=True)
        self.seen: list[dict[str, Any]] = []
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline()) == {"ready": True}
        self._reader = threading.Thread(target=self._read, name="notifications")
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.seen.append(json.loads(line))

    def hang(self) -> None:
        """It answers nothing any more."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Session:
    """The bus of a login."""

    def __init__(self, bus: subprocess.Popen[str], address: str) -> None:
        self._bus, self.address, self._servers = bus, address, list[Server]()

    def serve(self, mode: str = "markup") -> Server:
        """Start a notification server: markup, plain (it knows no markup), refuse or die."""
        server = Server(self.address, mode)
        self._servers.append(server)
        return server

    def end(self) -> None:
        for server in self._servers:
            server.end()
        if self._bus.poll() is None and self._bus.stdin is not None:
            self._bus.stdin.close()  # what holds the bus ends, and the bus with it
            try:
                self._bus.wait(10)
            except subprocess.TimeoutExpired:
                self._bus.kill()
                self._bus.wait()
        if self._bus.stdout is not None:
            self._bus.stdout.close()


def start() -> Session:
    """A bus as a login makes it."""
    if not shutil.which("dbus-run-session"):
        pytest.skip("there is no dbus-run-session: install the Debian package dbus-daemon")
    command = ["dbus-run-session", "--", sys.executable, "-c", BUS]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    bus = subprocess.Popen(command, env={"PATH": os.environ["PATH"]}, text=True, **pipes)
    assert bus.stdout is not None
    address = bus.stdout.readline().strip()
    assert address, "there is no session bus"
    return Session(bus, address)


@contextmanager
def session() -> Iterator[Session]:
    """A bus for the time of the block."""
    found = start()
    try:
        yield found
    finally:
        found.end()


def soon(predicate: Any) -> None:
    """It becomes so within ten seconds."""
    assert wait_until(predicate, 20.0)
