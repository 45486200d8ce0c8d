"""Puts releases there on a host run by supervisord: the program behind release_host.py. Standard library only, Python 3.8 or newer.

Hashes the releases, checks health, and where it is told to stops the process, switches the symlink, starts the process and waits until it
is healthy. Its one argument is the state directory. It may be ended at any moment, and takes up again what it was doing.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import stat
import sys
import time
import urllib.request
import xmlrpc.client

from release_host import FINAL, Records, option, read_json, services_of, write_json

SKIPPED = ("__pycache__",)  # comes with running
RESCAN_S = 5.0


def digest_of(folder):
    """sha256 over the tree: each path with its kind, whether it may be executed, and its content. Times and owners do not count.

    Byte code that Python writes beside its sources is left out: it comes with running.
    """
    total = hashlib.sha256()
    for place, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if name not in SKIPPED)
        links = [name for name in names if os.path.islink(os.path.join(place, name))]
        for name in sorted(files + links):
            path = os.path.join(place, name)
            status = os.lstat(path)
            shown = os.path.relpath(path, folder).encode("utf-8", "surrogateescape")
            if stat.S_ISLNK(status.st_mode):
                total.update(b"l%d:%s" % (len(shown), shown) + os.fsencode(os.readlink(path)) + b"\0")
            elif stat.S_ISREG(status.st_mode):
                kind = b"x" if status.st_mode & 0o100 else b"f"
                total.update(kind + b"%d:%s%d:" % (len(shown), shown, status.st_size))
                with open(path, "rb") as file:
                    for part in iter(lambda file=file: file.read(1 << 20), b""):
                        total.update(part)
    return total.hexdigest()


def look_of(folder):
    """Changes when a file of the tree changes; costs one look at each."""
    look = hashlib.sha256()
    for place, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if name not in SKIPPED)
        for name in sorted(files):
            status = os.lstat(os.path.join(place, name))
            look.update(f"{place}/{name} {status.st_mode} {status.st_size} {status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return look.hexdigest()


class _Local(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.host)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path):
        super().__init__()
        self._path = path

    def make_connection(self, host):
        connection = _Local("localhost", timeout=30)
        connection.host = self._path
        return connection


def supervisor_here():
    """supervisord of this host, as it tells its children."""
    url = os.environ["SUPERVISOR_SERVER_URL"]
    if url.startswith("unix://"):
        return xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=_Transport(url[7:])).supervisor
    return xmlrpc.client.ServerProxy(url + "/RPC2").supervisor


class Agent:
    """Does what is asked in the state directory, one thing after the other."""

    def __init__(self, state, pause=time.sleep):
        self._state = state
        self._settings = read_json(os.path.join(state, "settings.json")) or {}
        self._records = Records(state)
        self._supervisor = supervisor_here()
        self._digests = {}  # path -> (look, digest)
        self._listed = {}  # service -> (look of the directory, when, releases)
        self._sleep = pause

    def turn(self):
        """One round: look at everything, then do what waits."""
        self._look()
        for record in self._records.all():
            if record["go"] and record["state"] not in FINAL:
                self._carry_out(record)

    def _look(self, replaced=""):
        seen = {}
        for service in services_of(self._settings):
            # what is being replaced is not healthy, whatever still answers
            healthy, why = (False, "it is being replaced") if service == replaced else self._healthy(service)
            seen[service] = {"releases": self._releases(service), "healthy": healthy, "why": why}
        write_json(os.path.join(self._state, "seen.json"), seen)

    def _pause(self, seconds):
        os.utime(os.path.join(self._state, "seen.json"))  # says that the agent runs
        self._sleep(seconds)

    def _releases(self, service, fresh=False):
        folder = option(self._settings, "releases", service)
        try:
            look = os.stat(folder).st_mtime_ns
            names = sorted(e.name for e in os.scandir(folder) if e.is_dir(follow_symlinks=False) and not e.name.startswith("."))
        except OSError:
            return []
        known = self._listed.get(service)
        if fresh or known is None or known[0] != look or time.monotonic() - known[1] > RESCAN_S:
            known = (look, time.monotonic(), [r for r in (self._readable(os.path.join(folder, name), name) for name in names) if r])
            self._listed[service] = known
        return known[2]

    def _readable(self, path, name):
        """A release; None while it is copied there or removed, which must neither end the agent nor fail what it is doing."""
        try:
            return self._release(path, name)
        except OSError:
            return None

    def _release(self, path, name):
        look = look_of(path)
        if self._digests.get(path, ("",))[0] != look:
            self._digests[path] = (look, digest_of(path))
        about = read_json(os.path.join(path, "RELEASE"))
        about = about if isinstance(about, dict) else {}
        built = about.get("built_at_us", os.stat(path).st_mtime_ns // 1000)
        return {
            "name": name,
            "version": str(about.get("version", name)),
            "commit": str(about.get("commit", "")),
            "digest": self._digests[path][1],
            "built_at_us": built if isinstance(built, int) else 0,
        }

    def _healthy(self, service):
        url = option(self._settings, "health", service)
        if not url:
            return True, ""
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=1) as answer:
                answer.read(4096)
                return True, ""
        except (OSError, ValueError, http.client.HTTPException) as error:
            return False, f"health: {error}"

    def _carry_out(self, record):
        key, wanted = record["key"], record["record"]
        try:
            self._put_there(key, wanted["service"], wanted["digest"])
            self._look()
            self._records.step(key, state="done", digest=wanted["digest"], message="")
        except Refused as error:
            self._records.step(key, state="failed", message=str(error))
        except xmlrpc.client.Fault as error:
            self._records.step(key, state="failed", message=f"{error.faultString} (fault {error.faultCode})")
        except OSError as error:
            self._records.step(key, state="failed", message=f"{type(error).__name__}: {error}")

    def _put_there(self, key, service, digest):
        settings, name = self._settings, option(self._settings, "process", service)
        release = next((r for r in self._releases(service, fresh=True) if r["digest"] == digest), None)
        if release is None:
            raise Refused("the release is not on this host any more, or its content changed")
        self._records.step(key, state="stopping", message="")
        self._look(replaced=service)
        self._stop(name, float(option(settings, "stop_s", service)))
        target = os.path.join(option(settings, "releases", service), release["name"])
        switch(option(settings, "current", service), target)
        self._records.step(key, state="starting", message="")
        until = time.monotonic() + float(option(settings, "check_s", service))
        self._start(name, until)
        self._records.step(key, state="checking", message="")
        self._check(name, service, until)
        self._digests.pop(target, None)  # read again what now runs
        if self._release(target, release["name"])["digest"] != digest:
            raise Refused("the release's content changed while it was put there")

    def _stop(self, name, limit_s):
        try:
            self._supervisor.stopProcess(name, False)
        except xmlrpc.client.Fault as error:
            if error.faultCode != 70:  # it does not run
                raise
        until = time.monotonic() + limit_s
        while self._supervisor.getProcessInfo(name)["statename"] in ("STOPPING", "RUNNING", "STARTING"):
            if time.monotonic() > until:
                raise Refused(f"{name} does not stop")
            self._pause(0.05)

    def _start(self, name, until):
        try:
            self._supervisor.startProcess(name, False)
        except xmlrpc.client.Fault as error:
            if error.faultCode not in (50, 60):  # 50: it is tried again until FATAL; 60: it runs
                raise
        while True:
            info = self._supervisor.getProcessInfo(name)
            if info["statename"] == "RUNNING":
                return
            if info["statename"] in ("FATAL", "EXITED", "STOPPED", "UNKNOWN") or time.monotonic() > until:
                raise Refused(f"{name} is {info['statename']}: {info['spawnerr'] or info['description']}")
            self._pause(0.05)

    def _check(self, name, service, until):
        while True:
            info = self._supervisor.getProcessInfo(name)
            if info["statename"] not in ("RUNNING", "STARTING", "BACKOFF"):
                raise Refused(f"{name} is {info['statename']}: {info['spawnerr'] or info['description']}")
            healthy, why = self._healthy(service)
            if healthy and info["statename"] == "RUNNING":
                return
            if time.monotonic() > until:
                raise Refused(why or f"{name} is {info['statename']}")
            self._pause(0.1)


class Refused(Exception):
    """The release cannot be put there; the words say why."""


def switch(link, target):
    """Point the symlink elsewhere at once: there is no moment without one."""
    half = link + ".new"
    if os.path.islink(half):
        os.remove(half)
    os.symlink(target, half)
    os.replace(half, link)


def main():
    """Run until ended. The state directory is the argument."""
    agent = Agent(sys.argv[1])
    while True:
        agent.turn()
        time.sleep(0.2)  # it looks for orders in a directory; nothing there can wake it


if __name__ == "__main__":
    main()
